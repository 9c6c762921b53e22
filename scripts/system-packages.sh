#!/usr/bin/env bash
# What the tests need of the system, installed where that is ours to do: as root on Debian or Ubuntu. Anywhere else
# it says what is missing and fails, since a test that is left out would pass without having looked.
set -euo pipefail

# command:package
needed=(curl:curl nginx:nginx openssl:openssl unshare:util-linux script:bsdutils git:git)

# Debian keeps nginx in a directory that is not on every user's path.
export PATH="$PATH:/usr/sbin:/sbin"

missing_commands=()
missing_packages=()
look() {
  missing_commands=()
  missing_packages=()
  for pair in "${needed[@]}"; do
    command -v "${pair%%:*}" >/dev/null && continue
    missing_commands+=("${pair%%:*}")
    missing_packages+=("${pair##*:}")
  done
}

# The tests start their own nginx on a port of their own; installing it must not start the system's on port 80.
without_starting_services() {
  local policy=/usr/sbin/policy-rc.d
  if [ -e "$policy" ]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  local status=0
  "$@" || status=$?
  rm -f "$policy"
  return "$status"
}

look
[ "${#missing_commands[@]}" -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "tailrace: installing ${missing_packages[*]}, which the tests need"
  export DEBIAN_FRONTEND=noninteractive
  apt=(apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=5 -o Acquire::http::Timeout=60 -qq)
  # Again after a while: the lock of the lists, which the timeout above is not for, may be another's, and mirrors stumble.
  for pause in 0 5 15 30; do
    sleep "$pause"
    "${apt[@]}" update </dev/null || true
    without_starting_services "${apt[@]}" install -y --no-install-recommends "${missing_packages[@]}" </dev/null >/dev/null || true
    look
    [ "${#missing_commands[@]}" -eq 0 ] && exit 0
  done
fi

echo "tailrace: the tests need ${missing_commands[*]}, which this system lacks." >&2
echo "Install it and try again, on Debian or Ubuntu with: sudo apt-get install ${missing_packages[*]}" >&2
exit 1

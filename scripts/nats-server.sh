#!/usr/bin/env bash
# Prints where the nats-server is that the tests and measurements start: the one on the path if it is new enough, else one
# that is built here once. Where neither can be had it says how to get one and fails, since a test that is left out would
# pass without having looked.
set -euo pipefail

# The oldest with atomic batch publish, and the one that is built.
lowest_minor=12
built=v2.15.2

cache="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/node_modules/.cache/nats-server"

is_new_enough() {
  [[ "$("$1" --version 2>/dev/null)" =~ v([0-9]+)\.([0-9]+)\. ]] || return 1
  ((BASH_REMATCH[1] > 2 || (BASH_REMATCH[1] == 2 && BASH_REMATCH[2] >= lowest_minor)))
}

for candidate in "$(command -v nats-server || true)" "$cache/$built"; do
  if [ -n "$candidate" ] && is_new_enough "$candidate"; then
    echo "$candidate"
    exit 0
  fi
done

advice="Put nats-server 2.$lowest_minor or later on the path (https://github.com/nats-io/nats-server/releases), or install Go (https://go.dev/dl) and try again."
if ! command -v go >/dev/null; then
  echo "tailrace: the tests need nats-server 2.$lowest_minor or later, and there is no Go to build it with. $advice" >&2
  exit 1
fi

echo "tailrace: building nats-server $built, which the tests need" >&2
mkdir -p "$cache"
# A directory of its own, and moved when it is whole: two builds at once then harm nothing.
building="$(mktemp -d "$cache/building.XXXXXX")"
trap 'rm -rf "$building"' EXIT
# Again after a while, since a proxy of modules stumbles at times.
for pause in 0 5 15; do
  sleep "$pause"
  CGO_ENABLED=0 GOBIN="$building" go install "github.com/nats-io/nats-server/v2@$built" >&2 && break
done
if ! is_new_enough "$building/nats-server"; then
  echo "tailrace: nats-server could not be built. $advice" >&2
  exit 1
fi
mv "$building/nats-server" "$cache/$built"
echo "$cache/$built"

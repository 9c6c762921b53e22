#!/bin/sh
# Installs the peers that come from the distribution, and the C compiler of the load client (Debian 12 names).
# Without them the benchmark still runs: every peer that is absent is named in the table with its reason.
set -eu
if [ "$(id -u)" -ne 0 ]; then
  echo "bench: run this as root (it calls apt-get)" >&2
  exit 1
fi
apt-get update
# The packages start their daemons on systems with an init; the benchmark starts its own copies on its own ports.
apt-get install -y --no-install-recommends gcc libc6-dev util-linux redis-server nats-server libnginx-mod-nchan

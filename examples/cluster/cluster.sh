#!/usr/bin/env bash
# Three NATS servers with JetStream, two Tailrace servers with their log in them, and nginx in front, all on this machine: how the
# parts fit together (docs/guides/scaling.md). On machines of their own only the addresses differ.
#
#   examples/cluster/cluster.sh [DIRECTORY]      until Ctrl-C; everything is kept in DIRECTORY (default: ./cluster-data)
#
# PORT (default 8400): nginx. The others follow it. TAILRACE: the command line (default: npx tailrace).
# NATS_SERVER: nats-server 2.12 or later (default: the one on the path).
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
directory="${1:-./cluster-data}"
port="${PORT:-8400}"
nats_server="${NATS_SERVER:-nats-server}"
read -r -a tailrace <<<"${TAILRACE:-npx tailrace}"
export PATH="$PATH:/usr/sbin"

mkdir -p "$directory"
directory="$(cd "$directory" && pwd)"
[ -s "$directory/password" ] || (umask 077 && od -An -tx1 -N16 /dev/urandom | tr -d ' \n' >"$directory/password")
NATS_PASSWORD="$(cat "$directory/password")"
export NATS_PASSWORD

children=()
stop() {
  trap - EXIT INT TERM
  # In the order of the pipe: nobody comes in, watchers are told, then the log goes.
  for ((i = ${#children[@]} - 1; i >= 0; i--)); do kill -TERM "${children[i]}" 2>/dev/null || true; done
  wait
}
trap stop EXIT
trap 'exit 0' INT TERM

# begin NAME COMMAND...: in the background, with what it says in a file. Its process is in DIRECTORY/NAME.pid.
begin() {
  local name="$1"
  shift
  "$@" >>"$directory/$name.log" 2>&1 &
  children+=("$!")
  echo "$!" >"$directory/$name.pid"
}

routes="nats://127.0.0.1:$((port + 31)),nats://127.0.0.1:$((port + 32)),nats://127.0.0.1:$((port + 33))"
servers=""
for n in 1 2 3; do
  begin "nats$n" "$nats_server" --config "$here/nats.conf" --name "nats$n" --jetstream \
    --addr 127.0.0.1 --port "$((port + 10 + n))" --store_dir "$directory/nats$n" \
    --cluster_name tailrace --cluster "nats://127.0.0.1:$((port + 30 + n))" --routes "$routes"
  servers="$servers${servers:+,}127.0.0.1:$((port + 10 + n))"
done

# start_tailrace N: begins it again whenever it ends, as a supervisor would. While the cluster has no leader it gives up with a
# sentence, again and again.
start_tailrace() {
  local child=""
  trap 'kill -TERM "$child" 2>/dev/null; wait "$child"; exit 0' TERM
  while true; do
    "${tailrace[@]}" serve --listen "127.0.0.1:$((port + $1))" --log "nats://$servers" --namespace demo --replicas 3 \
      --nats-user tailrace --nats-password-file "$directory/password" &
    child=$!
    echo "$child" >"$directory/tailrace$1.pid"
    wait "$child" || true
    sleep 1
  done
}
for n in 1 2; do
  start_tailrace "$n" >>"$directory/tailrace$n.log" 2>&1 &
  children+=("$!")
done

mkdir -p "$directory/nginx"
sed -e "s/LISTEN/$port/" -e "s/SERVER_1/$((port + 1))/" -e "s/SERVER_2/$((port + 2))/" "$here/nginx.conf" >"$directory/nginx/nginx.conf"
begin nginx nginx -p "$directory/nginx" -c "$directory/nginx/nginx.conf"

until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/readyz"; do sleep 0.2; done
echo "tailrace ready http://127.0.0.1:$port"
wait

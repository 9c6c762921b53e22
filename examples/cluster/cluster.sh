#!/usr/bin/env bash
# Three NATS servers with JetStream, two Tailrace servers with their log in them, and nginx in front, all on this machine: how the
# parts fit together (docs/guides/scaling.md). On machines of their own only the addresses differ.
#
#   examples/cluster/cluster.sh [DIRECTORY]      until Ctrl-C; everything is kept in DIRECTORY (default: ./cluster-data)
#
# PORT (default 8400): nginx. The others follow it. TAILRACE: the command line (default: the one of this checkout if it is built,
# else `tailrace` on the path). It must become the server itself, as npx does not: what is killed and stopped is its process.
# NATS_SERVER: nats-server 2.12 or later (default: the one on the path). START_SECONDS (default 60): until all of it must run.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
directory="${1:-./cluster-data}"
port="${PORT:-8400}"
start_seconds="${START_SECONDS:-60}"
nats_server="${NATS_SERVER:-nats-server}"
export PATH="$root/node_modules/.bin:$PATH:/usr/sbin"

fail() {
  echo "cluster.sh: $*" >&2
  exit 1
}

tailrace=(tailrace)
if [ -n "${TAILRACE:-}" ]; then
  read -r -a tailrace <<<"$TAILRACE"
elif [ -f "$root/dist/src/cli/main.js" ]; then
  tailrace=(node "$root/dist/src/cli/main.js")
fi
case "$(basename "${tailrace[0]}")" in
npx | npm) fail "TAILRACE must become the server itself, and ${tailrace[0]} starts another process for it" ;;
esac
command -v "${tailrace[0]}" >/dev/null || fail "there is no ${tailrace[0]}: build this checkout (npm run build), or name one with TAILRACE"

lowest_minor=12
advice="nats-server 2.$lowest_minor or later is needed (https://github.com/nats-io/nats-server/releases); name it with NATS_SERVER"
version="$("$nats_server" --version 2>&1)" || fail "there is no nats-server that runs as $nats_server: $advice"
[[ "$version" =~ v([0-9]+)\.([0-9]+)\. ]] || fail "$nats_server says \"$version\": $advice"
((BASH_REMATCH[1] > 2 || (BASH_REMATCH[1] == 2 && BASH_REMATCH[2] >= lowest_minor))) || fail "$nats_server is \"$version\": $advice"
for program in nginx curl; do
  command -v "$program" >/dev/null || fail "there is no $program on the path, which is needed (apt-get install $program)"
done

mkdir -p "$directory"
directory="$(cd "$directory" && pwd)"
[ -s "$directory/password" ] || (umask 077 && od -An -tx1 -N16 /dev/urandom | tr -d ' \n' >"$directory/password")
NATS_PASSWORD="$(cat "$directory/password")"
export NATS_PASSWORD

children=()
names=()
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
  names+=("$name")
  echo "$!" >"$directory/$name.pid"
}

# ended NAME: what is said of one that is not there any more.
ended() {
  fail "$1 has ended: $(tail -n 1 "$directory/$1.log" 2>/dev/null) (all of it: $directory/$1.log)"
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
    "${tailrace[@]}" serve --listen "127.0.0.1:$((port + $1))" --log "nats://$servers" --namespace demo --replicas 3 --nats-max-bytes 4GiB \
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
  names+=("tailrace$n")
done

mkdir -p "$directory/nginx"
sed -e "s/LISTEN/$port/" -e "s/SERVER_1/$((port + 1))/" -e "s/SERVER_2/$((port + 2))/" "$here/nginx.conf" >"$directory/nginx/nginx.conf"
begin nginx nginx -p "$directory/nginx" -c "$directory/nginx/nginx.conf"

# All of it: with one server of NATS or of Tailrace less it would seem to run.
is_ready() {
  for p in "$port" "$((port + 1))" "$((port + 2))"; do
    curl --silent --fail --max-time 5 --output /dev/null "http://127.0.0.1:$p/readyz" || return 1
  done
}
until is_ready; do
  for i in "${!children[@]}"; do kill -0 "${children[i]}" 2>/dev/null || ended "${names[i]}"; done
  if ((SECONDS >= start_seconds)); then
    for n in 1 2; do echo "tailrace$n: $(tail -n 1 "$directory/tailrace$n.log")" >&2; done
    fail "not ready within $start_seconds s; see $directory/*.log"
  fi
  sleep 0.2
done
echo "tailrace ready http://127.0.0.1:$port"
wait

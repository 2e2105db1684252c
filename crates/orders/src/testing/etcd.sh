#!/bin/sh
# A throw-away etcd of one member on 127.0.0.1: clients on port $1, peers on port $2. Obeys `kill`, `start` and `exit` on
# standard input, and ends with its input: whoever started it may die as it likes.
set -eu
trap '' HUP INT TERM

if ! command -v etcd >/dev/null; then
    echo 'etcd (3.4 or later) is not installed; run scripts/setup'
    exit 1
fi

dir=$(mktemp -d 2>/dev/null || mktemp -d /tmp/mesh-etcd.XXXXXX)
cd "$dir"
server=

kill_member() {
    kill -9 "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
}
trap 'kill_member; cd /; rm -rf "$dir"' EXIT

start_member() {
    etcd --name mesh --data-dir data --initial-cluster "mesh=http://127.0.0.1:$2" \
        --listen-client-urls "http://127.0.0.1:$1" --advertise-client-urls "http://127.0.0.1:$1" \
        --listen-peer-urls "http://127.0.0.1:$2" --initial-advertise-peer-urls "http://127.0.0.1:$2" \
        >log 2>&1 </dev/null &
    server=$!
    tries=0
    until grep -qs 'ready to serve client requests' log; do
        tries=$((tries + 1))
        if ! kill -0 "$server" 2>/dev/null || [ "$tries" -gt 600 ]; then
            cat log
            return 1
        fi
        sleep 0.1
    done
}

start_member "$1" "$2" || exit 1
echo started
while read -r command; do
    case $command in
    kill) kill_member && echo killed ;;
    start) start_member "$1" "$2" && echo started ;;
    exit) exit ;;
    esac
done

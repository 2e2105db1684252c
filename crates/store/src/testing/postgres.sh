#!/bin/sh
# A throw-away PostgreSQL server on port $1 of 127.0.0.1. Obeys `stop`, `start` and `exit` on standard input, and ends with
# its input: whoever started it may die as it likes.
set -eu
trap '' HUP INT TERM

for bin in /usr/lib/postgresql/*/bin; do PATH="$bin:$PATH"; done
if ! command -v initdb >/dev/null; then
    echo 'PostgreSQL (15 or later) is not installed; run scripts/setup'
    exit 1
fi

dir=$(mktemp -d 2>/dev/null || mktemp -d /tmp/mesh-postgres.XXXXXX)
cd "$dir"
trap 'pg_ctl -D data -m immediate stop >/dev/null 2>&1; cd /; rm -rf "$dir"' EXIT

start() {
    # Nothing here has to survive the loss of power; what was committed survives `stop` all the same.
    pg_ctl -D data -l log -w -t 60 start >/dev/null -o "-p $1 -h 127.0.0.1 -c unix_socket_directories= \
        -c fsync=off -c full_page_writes=off"
}

if ! { initdb -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >log && start "$1"; } 2>>log; then
    cat log
    exit 1
fi
echo started
while read -r command; do
    case $command in
    stop) pg_ctl -D data -m immediate -w stop >/dev/null && echo stopped ;;
    start) start "$1" && echo started ;;
    exit) exit ;;
    esac
done

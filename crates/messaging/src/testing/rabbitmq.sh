#!/bin/sh
# A throw-away RabbitMQ on 127.0.0.1: AMQP on port $1, management on $2, epmd on $3, its own distribution on $4. Obeys
# `ctl …` (of rabbitmqctl), `kill`, `start` and `exit` on standard input, and ends with its input: whoever started it may
# die as it likes.
set -eu
trap '' HUP INT TERM

# Debian's rabbitmq-server in /usr/sbin changes the user and the environment; the real one is here.
PATH="/usr/lib/rabbitmq/bin:$PATH:/usr/local/sbin:/opt/homebrew/sbin"
if ! command -v rabbitmq-server >/dev/null || ! command -v epmd >/dev/null; then
    echo 'RabbitMQ (3.10 or later) is not installed; run scripts/setup'
    exit 1
fi

dir=$(mktemp -d 2>/dev/null || mktemp -d /tmp/mesh-rabbitmq.XXXXXX)
cd "$dir"
# The node's own epmd, so that nothing is left behind and nobody else's is met; the cookie is made in HOME.
export HOME="$dir" ERL_EPMD_PORT="$3" ERL_EPMD_ADDRESS=127.0.0.1
export RABBITMQ_NODENAME=mesh@localhost RABBITMQ_DIST_PORT="$4" RABBITMQ_PID_FILE="$dir/pid"
export RABBITMQ_MNESIA_BASE="$dir/data" RABBITMQ_LOG_BASE="$dir/log"
export RABBITMQ_CONF_ENV_FILE="$dir/none" RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf"
export RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins"
# One scheduler, which sleeps when there is nothing to do.
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none'
echo '[rabbitmq_management].' >enabled_plugins
cat >rabbitmq.conf <<CONF
listeners.tcp.1 = 127.0.0.1:$1
management.tcp.ip = 127.0.0.1
management.tcp.port = $2
disk_free_limit.absolute = 1MB
CONF

kill_node() {
    kill -9 "$(cat pid)" 2>/dev/null || true
    # The port is free, and the name too, once the node is gone.
    wait "$server" 2>/dev/null || true
}

start_node() {
    rabbitmq-server >out 2>&1 </dev/null &
    server=$!
    tries=0
    until grep -qs 'completed with' out; do
        tries=$((tries + 1))
        if ! kill -0 "$server" 2>/dev/null || [ "$tries" -gt 600 ]; then
            cat out
            return 1
        fi
        sleep 0.1
    done
}

epmd -port "$3" -address 127.0.0.1 >/dev/null 2>&1 &
epmd=$!
server=
# What this shell ignores its children ignore too: -9 it is.
trap 'kill_node; kill -9 "$epmd" 2>/dev/null; cd /; rm -rf "$dir"' EXIT

start_node || exit 1
echo started
while read -r command; do
    case $command in
    # The arguments are words.
    ctl*) eval "rabbitmq$command" >/dev/null 2>&1 && echo "$command" ;;
    kill) kill_node && echo kill ;;
    start) start_node && echo start ;;
    exit) exit ;;
    esac
done

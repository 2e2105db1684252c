#!/bin/sh
# Keeps one server, "$@" after the first two words, in this folder: what it says goes to `log`, its number to `pid`. Obeys `pause`,
# `resume`, `kill` and names of signals on standard input, and ends with its input: whoever started us may die as they like. Then
# the server first gets the signal $1 ("" for none) to clean up, and the folder $2 ("" for none) is deleted.
set -u
farewell=$1 temporary=$2
shift 2
# Handled, not ignored: what a shell ignores its children ignore too.
trap : HUP INT TERM

{
    # shellcheck disable=SC2016 # the inner shell expands it
    sh -c 'echo $$ >pid.new; mv pid.new pid; exec "$@" >>log 2>&1 </dev/null' sh "$@"
    echo ended
} &
shell=$!

# The server with everything that it started, and the shell above it.
processes() {
    ps -A -o pid= -o ppid= | awk -v keeper=$$ -v shell="$shell" '
        { parent[$1] = $2 }
        END {
            if (parent[shell] != keeper) exit
            for (process in parent) {
                above = process
                while (above != shell && above in parent) above = parent[above]
                if (above == shell) print process
            }
        }'
}

signal() {
    # shellcheck disable=SC2046 # they are words
    kill -"$1" $(processes) 2>/dev/null
}

# Stops all of them, those too that were started meanwhile.
freeze() {
    found=
    while now=$(processes) && [ "$now" != "$found" ]; do
        found=$now
        signal STOP
    done
}

# To the server alone.
tell() { kill -"$1" "$(ps -A -o pid= -o ppid= | awk -v shell="$shell" '$2 == shell { print $1 }')" 2>/dev/null; }

# Whether any of the numbers $1 is a process still; one that nobody has waited for is none.
# shellcheck disable=SC2086 # they are words
live() { ps -o stat= -p "$(echo $1 | tr ' ' ,)" 2>/dev/null | grep -qv '^Z'; }

word=
while read -r word; do
    case $word in
    # One that has just ended cannot be told any more; the others were.
    pause) freeze; echo paused ;;
    resume) signal CONT; echo resumed ;;
    kill) break ;;
    *) tell "$word" ;;
    esac
done

if [ "$word" != kill ] && [ -n "$farewell" ]; then
    signal CONT
    tell "$farewell"
    tries=0
    while [ "$tries" -lt 50 ] && [ -n "$(processes)" ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
fi
freeze
for process in $found; do
    # The shell above the server waits for it: a number that nobody has waited for looks alive to who starts after it.
    [ "$process" = "$shell" ] || kill -KILL "$process" 2>/dev/null
done
kill -CONT "$shell" 2>/dev/null
wait "$shell"
while [ -n "$found" ] && live "$found"; do sleep 0.1; done
if [ "$word" != kill ] && [ -n "$temporary" ]; then
    cd /
    rm -rf "$temporary"
fi
echo gone
# What an ended server has left, and ourselves.
kill -KILL 0

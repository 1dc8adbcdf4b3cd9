#!/bin/sh
# SPDX-License-Identifier: MIT
# Record the traces of this folder again: record.sh [TOOL [NAME...]]
#
# TOOL is the built tool, build/pageheap by default; NAMEs choose among gcc, python, redis, sqlite, node, perl.
# A new recording has the same kinds of events, not the same events: versions of the programs differ.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tool=${1:-$here/../build/pageheap}
[ $# -gt 0 ] && shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# record NAME COMMAND...
record() {
    name=$1
    shift
    "$tool" record -o "$here/$name.trace.zst" -- "$@" >/dev/null
}

# The compiler proper, cc1, is started by the driver and recorded with it.
do_gcc() {
    python3 "$here/scripts/make_c.py" 600 >"$work/large.c"
    record gcc gcc -O2 -w -S "$work/large.c" -o /dev/null
}

do_python() {
    record python python3 "$here/scripts/churn.py"
}

do_sqlite() {
    record sqlite sqlite3 -init /dev/null "$work/shop.db" ".read $here/scripts/shop.sql"
}

do_node() {
    record node node "$here/scripts/server.js"
}

do_perl() {
    record perl perl "$here/scripts/text.pl"
}

# The server alone is recorded, not the clients that keep it busy.
do_redis() {
    record redis redis-server --port 0 --unixsocket "$work/socket" --dir "$work" --save '' --io-threads 2 &
    server=$!
    until redis-cli -s "$work/socket" ping >/dev/null 2>&1; do sleep 0.1; done
    "$here/scripts/redis_load.sh" "$work/socket"
    redis-cli -s "$work/socket" shutdown nosave || true
    wait "$server"
}

[ $# -gt 0 ] || set -- gcc python redis sqlite node perl
for name in "$@"; do
    "do_$name"
done

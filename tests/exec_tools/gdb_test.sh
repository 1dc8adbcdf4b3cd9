#!/bin/sh
# SPDX-License-Identifier: MIT
# GDB names JIT code in a backtrace: in a program that it watches from the start, and in a core file, where it
# reads what the program's memory holds.  Skipped without GDB, or where it may not trace.
#
# usage: gdb_test.sh GDB_TARGET
set -eu
target=$1
skipped=77

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

debug() {
    DEBUGINFOD_URLS='' gdb -nx -batch "$@" 2>&1
}

command -v gdb >/dev/null || { echo "no gdb"; exit $skipped; }
debug -ex starti -ex 'print 1000+1' true | grep -q '= 1001' || { echo "gdb does not work here"; exit $skipped; }
status=0
"$target" >"$scratch/log" || status=$?
[ $status = 0 ] || { echo "$target: $status"; exit $status; }

expect() {
    grep -qE "$1" "$2" || { echo "no line like: $1"; cat "$2"; exit 1; }
}

# A JIT frame on another, between C functions.
check_backtrace() {
    expect '^#0 .*stop_here' "$1"
    expect '^#1 .* in jit_inner<int>\(char const\*\) \(\)' "$1"
    expect '^#2 .* in jit_outer \(\)' "$1"
    expect '^#3 .* in run ' "$1"
}

# Two hundred functions and one symbol file.  Of a core the names alone count: GDB does not save memory that has
# pages without access among it, and steps from frame to frame by guessing where it cannot read the code.
check_names() {
    expect '^#1 .* in jit_inner<int>\(char const\*\) \(\)' "$1"
    expect '^#[0-9]+ .* in jit_outer \(\)' "$1"
    files=$(sed -n '/^jit_code_entry/,/^end/p' "$1" | grep -c '^0x')
    [ "$files" = 1 ] || { echo "$files symbol files for one block"; cat "$1"; exit 1; }
}

debug -ex 'break stop_here' -ex run -ex backtrace -ex 'maintenance info jit' -ex 'echo end\n' \
    -ex 'info line jit_gone' -ex "gcore $scratch/core" -ex continue \
    --args "$target" flushed >"$scratch/live"
check_backtrace "$scratch/live"
check_names "$scratch/live"
expect 'stopped flushed' "$scratch/live"
expect 'exited normally' "$scratch/live"
expect 'o symbol "jit_gone"|unction "jit_gone" not defined' "$scratch/live"

debug -ex backtrace -ex 'maintenance info jit' -ex 'echo end\n' "$target" "$scratch/core" >"$scratch/dead"
check_names "$scratch/dead"

# Without a flush GDB may not know all names yet, but what it finds in a core file is complete.
debug -ex 'break stop_here' -ex run -ex "gcore $scratch/core" -ex kill --args "$target" unflushed >"$scratch/live"
debug -ex backtrace -ex 'maintenance info jit' -ex 'echo end\n' "$target" "$scratch/core" >"$scratch/dead"
check_names "$scratch/dead"

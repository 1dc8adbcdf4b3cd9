#!/bin/sh
# SPDX-License-Identifier: MIT
# perf names JIT code: from a jitdump whatever the memory is, from a perf map where the memory has no file.
# Skipped without perf, or where it may not record.
#
# usage: perf_test.sh PERF_TARGET
set -eu
target=$1
skipped=77
# As in pageheap/exec.h.
memfd=1
anon=2
private=3
flip=4

scratch=$(mktemp -d)
map=$scratch/none
trap 'rm -rf "$scratch" "$map"' EXIT
export HOME="$scratch" # perf keeps what it has seen in $HOME/.debug

record() {
    perf record -q -k mono -e cpu-clock:u -o "$scratch/data" -- "$@" >"$scratch/log" 2>&1
}

command -v perf >/dev/null || { echo "no perf"; exit $skipped; }
record true || { echo "perf does not record here"; exit $skipped; }

# Percent of the samples in a symbol, as a whole number.
share_of() {
    perf report -i "$1" --stdio --sort symbol 2>/dev/null | awk -v name="$2" '$3 == name { print int($1) }'
}
expect() {
    share=$(share_of "$1" "$2")
    [ "${share:-0}" -ge "$3" ] || {
        echo "$4: ${share:-0} % in $2"
        perf report -i "$1" --stdio 2>/dev/null | head -30
        exit 1
    }
}

tried=0
for backend in $memfd $anon $private $flip; do
    status=0
    record "$target" jitdump $backend "$scratch" || status=$?
    [ $status = $skipped ] && continue
    [ $status = 0 ] || { cat "$scratch/log"; exit 1; }
    tried=1
    perf inject --jit -i "$scratch/data" -o "$scratch/injected" >"$scratch/log" 2>&1
    # Both had the same address, one after the other.
    expect "$scratch/injected" jit_spin_first 25 "jitdump, backend $backend"
    expect "$scratch/injected" jit_spin_second 25 "jitdump, backend $backend"
    rm -f "$scratch"/jit*
done
[ $tried = 1 ] || { echo "no executable memory of any kind"; exit $skipped; }

for backend in $anon $private $flip; do
    status=0
    record "$target" perfmap $backend || status=$?
    [ $status = $skipped ] && continue
    [ $status = 0 ] || { cat "$scratch/log"; exit 1; }
    map=/tmp/perf-$(sed -n 's/^process //p' "$scratch/log").map
    [ -f "$map" ] || { echo "no perf map"; exit 1; }
    # perf cannot tell which of two names an address had when; all of it goes to one of them.
    first=$(share_of "$scratch/data" jit_spin_first)
    second=$(share_of "$scratch/data" jit_spin_second)
    [ $((${first:-0} + ${second:-0})) -ge 50 ] || { echo "perf map, backend $backend: $first, $second"; exit 1; }
    rm -f "$map"
done

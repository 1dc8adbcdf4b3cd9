#!/bin/sh
# SPDX-License-Identifier: MIT
# `pageheap replay`: what it accepts, refuses and prints.  Usage: replay_test.sh TOOL
set -u
tool=$1
. "$(dirname "$0")/check.sh"
cd "$work" || exit 1

header='#pageheap-trace 1 page_size=4096'
printf '%s\na 1 2 1\na 2 40 1\nf 1 2\na 3 1 2\nf 77 1\nf 3 1\n' "$header" >tiny.trace

# refused LINE REASON TEXT...: printf's TEXT is refused at that line.
refused() {
    line=$1 reason=$2
    shift 2
    # shellcheck disable=SC2059
    printf "$@" >bad.trace
    "$tool" replay bad.trace >out 2>err
    expect "status of $*" 2 $?
    expect "message of $*" "pageheap replay: bad.trace:$line: $reason" "$(cat err)"
    expect "output of $*" '' "$(cat out)"
}

refused 1 'the file is empty' ''
refused 1 "not a trace: the first line must be '#pageheap-trace 1 page_size=BYTES'" 'hello\n'
refused 2 'the line is empty' "$header\n\n"
refused 3 'ID was used by an earlier alloc' "$header\na 1 1 1\na 1 1 1\n"
refused 2 'PAGES is zero' "$header\na 1 0 1\n"
refused 2 'ID is not a decimal number' "$header\na -1 1 1\n"
refused 2 'ID is larger than 18446744073709551615' "$header\na 18446744073709551616 1 1\n"
refused 2 'the line ends in CR LF, not in LF alone' "$header\na 1 1 1\r\n"
refused 3 'a blank and THREAD are missing at the end' "$header\na 1 1 1\nf 1"
refused 2 "an event must begin with 'a' or 'f'" "$header\n\\000\\001\\377\n"

"$tool" replay missing.trace >out 2>err
expect 'status for a missing file' 2 $?
expect 'message for a missing file' 'pageheap replay: missing.trace: No such file or directory' "$(cat err)"
"$tool" replay >out 2>err
expect 'status without a trace' 2 $?
"$tool" replay --rounds 0 tiny.trace >out 2>err
expect 'status of no rounds' 2 $?
"$tool" replay --rounds +3 tiny.trace >out 2>err
expect 'status of rounds with a sign' 2 $?
"$tool" replay --allocators mmap,nobody tiny.trace >out 2>err
expect 'status of an unknown allocator' 2 $?
expect_match 'names of the known' "^pageheap replay: no allocator is called 'nobody'; known are: pageheap mmap" err
"$tool" replay --allocators '' tiny.trace >out 2>err
expect 'status of no allocator' 2 $?
"$tool" replay --help >out 2>err
expect 'status of help' 0 $?
expect_match 'help names allocators' '^ *mmap' out

"$tool" replay --allocators mmap,glibc,null --rounds 1 tiny.trace >out 2>err
expect 'status of a replay' 0 $?
expect 'nothing on standard error when piped' '' "$(cat err)"
expect_match 'events' '^tiny: 5 events, 2 threads, peak live 168 KiB, live at the end 160 KiB$' out
expect_match 'a column for each' 'mmap +glibc +null' out
expect_match 'time' '^ns per event' out
expect_match 'one call an event of mmap' '^tiny +5 ' out

"$tool" replay --allocators mmap,glibc --rounds 2 --json tiny.trace tiny.trace >out 2>err
expect 'status of JSON' 0 $?
python3 -m json.tool out >checked || failures=$((failures + 1))
python3 - out <<'PYTHON' || failures=$((failures + 1))
import json, sys
report = json.load(open(sys.argv[1]))
assert report["schema"] == "pageheap-replay/1", report["schema"]
assert len(report["traces"]) == 2
trace = report["traces"][0]
assert (trace["events"], trace["allocs"], trace["frees"], trace["orphan_frees"]) == (5, 3, 2, 1), trace
assert trace["peak_live_bytes"] == 42 * 4096 and trace["end_live_bytes"] == 40 * 4096
assert trace["harness_ns_per_event"]["median"] > 0
mmap = trace["results"][0]
assert mmap["allocator"] == "mmap" and len(mmap["ns_per_event"]["rounds"]) == 2
assert mmap["ns_per_event"]["min"] <= mmap["ns_per_event"]["median"] <= mmap["ns_per_event"]["max"]
assert mmap["peak_resident_bytes"] >= 42 * 4096, mmap
assert mmap["end_resident_bytes"] >= 40 * 4096, mmap
assert mmap["page_faults"] >= 43, mmap
assert mmap["system_calls"] in (5, None), mmap
assert mmap["failed_allocs"] == 0
PYTHON

zstd -q tiny.trace -o tiny.trace.zst
# From five rounds on they go on until the least was met twice, or three times as many were done.
"$tool" replay --allocators pageheap --rounds 5 --json tiny.trace >out 2>err
expect 'status of five rounds' 0 $?
python3 - out <<'PYTHON' || failures=$((failures + 1))
import json, sys
for trace in json.load(open(sys.argv[1]))["traces"]:
    rounds = trace["results"][0]["ns_per_event"]["rounds"]
    assert 5 <= len(rounds) <= 15, rounds
    assert len(rounds) == 15 or sum(ns <= 1.02 * min(rounds) for ns in rounds) >= 2, rounds
PYTHON

"$tool" replay --allocators mmap --rounds 1 - <tiny.trace.zst >out 2>err
expect 'status of a compressed pipe' 0 $?
expect_match 'its events' '^-: 5 events' out
head -c 40 tiny.trace.zst >cut.trace.zst
"$tool" replay --allocators mmap cut.trace.zst >out 2>err
expect 'status of a cut file' 2 $?
expect_match 'its reason' 'the compressed data ends early' err

# Threads: each run is freed by another thread than its own, so every free waits for an alloc.
awk -v header="$header" 'BEGIN {
    print header
    for (i = 1; i <= 4000; i++) {
        print "a", i, i % 7 + 1, i % 4
        if (i > 50)
            print "f", i - 50, (i + 1) % 4
    }
}' >threads.trace
"$tool" replay --allocators mmap,glibc --rounds 1 --threads --json threads.trace >out 2>err
expect 'status with threads' 0 $?
python3 - out <<'PYTHON' || failures=$((failures + 1))
import json, sys
trace = json.load(open(sys.argv[1]))["traces"][0]
assert trace["threads"] == 4 and trace["events"] == 7950
for result in trace["results"]:
    assert result["ns_per_event"]["median"] > 0 and result["failed_allocs"] == 0, result
    assert result["peak_live_bytes"] >= 50 * 4096, result
PYTHON

if command -v gnuplot >/dev/null; then
    "$tool" replay --allocators mmap,glibc --rounds 1 --plot "it's.svg" tiny.trace >out 2>err
    expect 'status of a plot' 0 $?
    expect_match 'a drawing' '<svg' "it's.svg"
fi

# On a terminal there is a bar, unless it is not wanted.
if command -v script >/dev/null; then
    script -qec "'$tool' replay --allocators mmap --rounds 1 tiny.trace" /dev/null >out </dev/null
    expect_match 'a bar on a terminal' '\[.*#.*\] ' out
    script -qec "'$tool' replay --allocators mmap --rounds 1 --no-progress tiny.trace" /dev/null >out </dev/null
    expect 'no bar when not wanted' 0 "$(grep -c '#\.' out)"
    NO_COLOR=1 script -qec "'$tool' replay --allocators mmap --rounds 1 tiny.trace" /dev/null >out </dev/null
    expect 'no colours when not wanted' 0 "$(grep -c "$(printf '\033')" out)"
fi
finish

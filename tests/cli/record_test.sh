#!/bin/sh
# SPDX-License-Identifier: MIT
# `pageheap record`: exactly the requests that requests.c makes.  Usage: record_test.sh TOOL REQUESTS
set -u
tool=$1
requests=$2
. "$(dirname "$0")/check.sh"
cd "$work" || exit 1
export TMPDIR="$work" # where the recorder keeps its spool

# recorded STEP EVENTS: the trace of the step, its lines joined by commas, without the header.
recorded() {
    "$tool" record -q -o "$1.trace" -- "$requests" "$1" 2>err
    expect "status of $1" 0 $?
    expect "messages of $1" '' "$(cat err)"
    expect "header of $1" '#pageheap-trace 1 page_size=4096' "$(head -n 1 "$1.trace")"
    expect "events of $1" "$2" "$(tail -n +2 "$1.trace" | tr '\n' ',')"
}

family='a 1 1 1,f 1 1,a 2 2 1,f 2 1,a 3 3 1,f 3 1,a 4 4 1,f 4 1,a 5 5 1,f 5 1,a 6 6 1,f 6 1,a 7 7 1,f 7 1,a 8 8 1,f 8 1,'
recorded family "$family"
recorded reallocs 'a 1 2 1,a 2 500 1,f 1 1,f 2 1,'
recorded maps 'a 1 10 1,f 1 1,a 2 4 1,a 3 4 1,f 2 1,f 3 1,a 4 1 1,a 5 20 1,f 4 1,f 5 1,a 6 4 1,f 6 1,'
recorded forks 'a 1 3 1,a 2 9 2,f 2 2,a 3 11 2,f 1 1,'
recorded killed 'a 1 13 1,'
recorded fork-exec "$family"
recorded vfork-exec "$family"

# Four threads: each allocates and frees a thousand runs, in whatever order they run.
"$tool" record -q -o threads.trace -- "$requests" threads
expect 'allocs of threads' 4000 "$(grep -c '^a ' threads.trace)"
expect 'frees of threads' 4000 "$(grep -c '^f ' threads.trace)"
expect 'events of each thread' '2000 2000 2000 2000' \
    "$(tail -n +2 threads.trace | awk '{ n[$NF]++ } END { for (t in n) printf "%s%s", s, n[t]; print "" } { s = " " }' | xargs)"
expect 'pages of threads' 18000 "$(awk '/^a/ { pages += $3 } END { print pages }' threads.trace)"

# The first requests of all come from several threads at once.
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    "$tool" record -q -o again.trace -- "$requests" threads
    expect "lines of round $round" 8001 "$(wc -l <again.trace)"
done

# What was recorded can be replayed, compressed too.
"$tool" record -o threads.trace.zst -- "$requests" threads 2>err
expect_match 'a summary' '^pageheap record: threads.trace.zst: 8000 events \(4000 allocs, 4000 frees\), 4 threads in 1 process$' err
"$tool" record -o single.trace -- "$requests" killed 2>err
expect_match 'a summary of one' '^pageheap record: single.trace: 1 event \(1 alloc, 0 frees\), 1 thread in 1 process$' err
expect 'zstd magic' '28b52ffd' "$(od -An -tx1 -N4 threads.trace.zst | tr -d ' ')"
"$tool" replay --allocators mmap --rounds 1 threads.trace.zst >out 2>err
expect 'status of its replay' 0 $?
expect_match 'all events' '^threads: 8,000 events, 4 threads' out

# The exit status is the command's.
"$tool" record -q -o x.trace -- "$requests" status
expect 'status of the command' 42 $?
"$tool" record -q -o x.trace -- "$requests" signal
expect 'status of a signal' 143 $?
timeout -s TERM 1 "$tool" record -q -o ended.trace -- sh -c "'$requests' family; exec sleep 20"
expect 'a recorder that is told to end writes its trace' 1 "$(awk '/^a .* 8 / { n++ } END { print n }' ended.trace)"
"$tool" record -q -o x.trace -- ./missing 2>err
expect 'status of a missing command' 127 $?
"$tool" record -q -o /missing/x.trace -- "$requests" family 2>err
expect 'status of an unwritable trace' 125 $?
expect_match 'its message' '/missing/x.trace: No such file or directory' err
"$tool" record -- "$requests" family 2>err
expect 'status without -o' 2 $?
"$tool" record -o x.trace 2>err
expect 'status without a command' 2 $?

# Options behind the command belong to it, with and without --.
"$tool" record -q -o x.trace sh -c 'exit 3'
expect 'status of sh' 3 $?

# A child that outlives a shell's exec, a pipeline, and a closed standard error are all no trouble.
"$tool" record -q -o x.trace -- sh -c "'$requests' family | cat; exec '$requests' family"
expect 'both children are in' 2 "$(awk '/^a .* 8 / { n++ } END { print n }' x.trace)"
expect 'nothing is left behind' '' "$(find . -name 'pageheap-spool-*')"
finish

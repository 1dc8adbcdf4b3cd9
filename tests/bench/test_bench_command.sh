#!/bin/sh
# SPDX-License-Identifier: MIT
# The command line of `bench`: every kind of output, and every way to get it wrong.
set -u
bench=$1
failures=0

expect() { # STATUS PATTERN COMMAND...: the exit status, and a line of what it says
    status=$1 pattern=$2
    shift 2
    text=$("$@" 2>&1)
    got=$?
    if [ "$got" != "$status" ] || ! printf '%s\n' "$text" | grep -q -e "$pattern"; then
        printf 'FAILED: %s\n  status %s, not %s; or no line like "%s" in:\n%s\n' "$*" "$got" "$status" "$pattern" "$text"
        failures=$((failures + 1))
    fi
}

fast="--rounds 2 --seconds 0.005"
# shellcheck disable=SC2086 # $fast is two options
{
    expect 0 '^  pair-1 ' "$bench" --list
    expect 0 '^  mmap ' "$bench" --list
    expect 0 'pair, 1 page .* ns ' "$bench" $fast --filter pair-1 --allocators pageheap,mmap,seed
    expect 0 'pair, 1 page .*\.\.' "$bench" $fast --filter pair-1 --allocators mmap,seed --spread
    expect 0 '^  exec-pair-64 ' "$bench" --list
    expect 0 '^Code memory' "$bench" $fast --filter exec-pair-64 --allocators mmap,flip
    expect 0 'pair, 64 bytes .* ns ' "$bench" $fast --filter exec-pair-64 --allocators pageheap,flip
    expect 0 'write, publish and call .* ns ' "$bench" $fast --filter exec-call --allocators mmap,flip
    expect 0 '"section": "code"' "$bench" $fast --filter exec-publish --allocators flip --json
    expect 0 '"target_peer": "flip"' "$bench" $fast --filter exec-publish --allocators flip --json
    expect 0 '"best_peer": "seed"' "$bench" $fast --filter pair-1 --allocators mmap,seed --json
    expect 0 '^  seed  *ok' "$bench" --self-test --allocators seed,mmap
    expect 0 '^  flip  *ok' "$bench" --self-test --allocators flip
    expect 2 "no row is called 'no-such-row'" "$bench" $fast --filter pair-1 --filter no-such-row
    expect 2 'nothing to measure' "$bench" $fast --filter rss-4g
    expect 2 'nothing to measure' "$bench" $fast --filter metadata --allocators mmap
    expect 2 'nothing to measure' "$bench" $fast --filter pair-1 --allocators flip
    expect 2 'nothing to measure' "$bench" $fast --filter exec-call --allocators seed
    expect 2 "no allocator is called 'nobody'" "$bench" --allocators nobody
    expect 2 'rounds is a number' "$bench" --rounds 0
    expect 2 'rounds is a number' "$bench" --rounds -1
    expect 2 'rounds is a number' "$bench" --rounds 3x
    expect 2 'seconds is a number' "$bench" --seconds 0
    expect 2 'seconds is a number' "$bench" --seconds nan
    expect 2 'unexpected argument' "$bench" surplus
    expect 2 'unrecognized option' "$bench" --no-such-option
}

# A bad filter is told before anything else is: a program that reads the table gets none.
for filter in no-such-row rss-4g; do
    # shellcheck disable=SC2086
    text=$("$bench" $fast --filter $filter 2>/dev/null)
    if [ -n "$text" ]; then
        printf 'FAILED: --filter %s printed:\n%s\n' "$filter" "$text"
        failures=$((failures + 1))
    fi
done

# A row's full name means that row alone.
# shellcheck disable=SC2086
rows=$("$bench" $fast --filter bulk-1000 --allocators seed --json | grep -c '"title"')
if [ "$rows" != 1 ]; then
    printf 'FAILED: --filter bulk-1000 gave %s rows\n' "$rows"
    failures=$((failures + 1))
fi

# shellcheck disable=SC2086
if command -v python3 >/dev/null; then
    "$bench" $fast --filter pair --allocators seed,mmap --json | python3 -c '
import json, sys
document = json.load(sys.stdin)
pages = [row for row in document["rows"] if row["section"] == "pages"]
code = [row for row in document["rows"] if row["section"] == "code"]
assert len(pages) == 5 and len(code) == 2
assert all(len(row["allocators"]["seed"]["rounds"]) == 2 for row in pages)
assert all(list(row["allocators"]) == ["mmap"] for row in code)' || failures=$((failures + 1))

    # From five rounds on they go on until the least was met twice, or three times as many were done.
    "$bench" --rounds 5 --seconds 0.001 --filter pair --allocators pageheap,seed,mmap --json | python3 -c '
import json, sys
counts = []
for row in json.load(sys.stdin)["rows"]:
    rounds = row["allocators"]["pageheap"]["rounds"]
    counts.append(len(rounds))
    assert 5 <= len(rounds) <= 15, rounds
    assert len(rounds) == 15 or sum(ns <= 1.02 * min(rounds) for ns in rounds) >= 2, rounds
assert len(counts) == 7' || failures=$((failures + 1))
fi

[ "$failures" = 0 ] && echo "all as expected"
exit "$failures"

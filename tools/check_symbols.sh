#!/bin/sh
# SPDX-License-Identifier: MIT
# Symbols: the shared library shows exactly what the public headers declare, each declaration has its comment,
# the archive's names cannot collide with a user's, and neither needs more than libc or calls malloc.
#
# usage: check_symbols.sh LIBPAGEHEAP.SO LIBPAGEHEAP.A
set -eu
shared=$1
archive=$2
headers=$(dirname "$0")/../include/pageheap

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
complain() {
    echo "$1"
    sed 's/^/    /' "$2"
    status=1
}

# A declaration begins with PAGEHEAP_API and may run over lines; the name stands before the first parenthesis.
# Its comment ends somewhere above it, with no empty line in between.
awk '
    FNR == 1 || /^$/ { commented = 0 }
    /\*\/[ \t]*$/    { commented = 1 }
    /^PAGEHEAP_API / {
        name = $0
        sub(/\(.*/, "", name)
        sub(/.*[ *]/, "", name)
        print name >declared
        if (!commented) print name >bare
    }
' declared="$scratch/declared.raw" bare="$scratch/bare" "$headers"/*.h
touch "$scratch/bare"
sort -u "$scratch/declared.raw" >"$scratch/declared"
[ -s "$scratch/bare" ] && complain "Declared without a comment above:" "$scratch/bare"

nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u >"$scratch/exported"
comm -13 "$scratch/declared" "$scratch/exported" >"$scratch/undeclared"
comm -23 "$scratch/declared" "$scratch/exported" >"$scratch/unexported"
[ -s "$scratch/undeclared" ] && complain "Exported but declared in no public header:" "$scratch/undeclared"
[ -s "$scratch/unexported" ] && complain "Declared but not exported (is it in src/pageheap.map?):" "$scratch/unexported"

nm -g --defined-only "$archive" | awk 'NF == 3 { print $3 }' | grep -vE '^(pageheap_|ph_|RT)' >"$scratch/foreign" || true
[ -s "$scratch/foreign" ] && complain "Global in the archive without our prefix:" "$scratch/foreign"

nm -D --undefined-only "$shared" | awk '{ sub(/@.*/, "", $2); print $2 }' |
    grep -xE 'malloc|calloc|realloc|free|posix_memalign|aligned_alloc|memalign|strdup|printf|fprintf|fopen' \
        >"$scratch/heap" || true
[ -s "$scratch/heap" ] && complain "Called by a library that must stand below malloc:" "$scratch/heap"

objdump -p "$shared" | awk '$1 == "NEEDED" { print $2 }' | grep -vE '^(libc\.so|libpthread\.so|ld-linux)' \
    >"$scratch/needed" || true
[ -s "$scratch/needed" ] && complain "Needed besides libc:" "$scratch/needed"

[ $status = 0 ] && echo "$(wc -l <"$scratch/declared") functions declared, documented and exported"
exit $status

#!/bin/sh
# SPDX-License-Identifier: MIT
# Symbols: the shared library shows exactly what the public headers declare, each declaration has its comment,
# the archive's names cannot collide with a user's, and neither needs more than libc or calls malloc.
# The same of the adapters' archive, which may call malloc, but nothing of the library's.
#
# usage: check_symbols.sh LIBPAGEHEAP.SO LIBPAGEHEAP.A LIBPAGEHEAP-EXEC-TOOLS.A
set -eu
shared=$1
archive=$2
exec_tools=$3
headers=$(dirname "$0")/../include/pageheap

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
complain() {
    echo "$1"
    sed 's/^/    /' "$2"
    status=1
}

# A declaration begins with its library's mark, PAGEHEAP_API or PAGEHEAP_EXEC_TOOLS_API, and may run over lines;
# the name stands before the first parenthesis.  Its comment ends somewhere above it, with no empty line between.
list_declared() {
    rm -f "$scratch/declared.raw" "$scratch/bare"
    awk '
        FNR == 1 || /^$/ { commented = 0; declaration = "" }
        /\*\/[ \t]*$/    { commented = 1 }
        $1 == mark       { declaration = $0 }
        declaration != "" && !/^PAGEHEAP/ { declaration = declaration " " $0 }
        declaration ~ /\(/ {
            sub(/\(.*/, "", declaration)
            sub(/.*[ *]/, "", declaration)
            print declaration >declared
            if (!commented) print declaration >bare
            declaration = ""
        }
    ' mark="$1" declared="$scratch/declared.raw" bare="$scratch/bare" "$headers"/*.h
    touch "$scratch/declared.raw" "$scratch/bare"
    sort -u "$scratch/declared.raw" >"$2"
    [ -s "$scratch/bare" ] && complain "Declared without a comment above:" "$scratch/bare"
    return 0
}

list_declared PAGEHEAP_API "$scratch/declared"

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

# The adapters' archive: what it defines for others is what its header declares, and GDB's two names.
list_declared PAGEHEAP_EXEC_TOOLS_API "$scratch/tools_declared"
nm -g --defined-only "$exec_tools" | awk 'NF == 3 { print $3 }' | sort -u >"$scratch/tools_defined"
grep '^pageheap_' "$scratch/tools_defined" >"$scratch/tools_public" || true
comm -13 "$scratch/tools_declared" "$scratch/tools_public" >"$scratch/tools_undeclared"
comm -23 "$scratch/tools_declared" "$scratch/tools_public" >"$scratch/tools_undefined"
[ -s "$scratch/tools_undeclared" ] && complain "Defined in the adapters, but declared in no public header:" \
    "$scratch/tools_undeclared"
[ -s "$scratch/tools_undefined" ] && complain "Declared, but defined in no adapter:" "$scratch/tools_undefined"
grep -vE '^(pageheap_exec_tools_|ph_tools_|__jit_debug_(descriptor|register_code)$)' "$scratch/tools_defined" \
    >"$scratch/tools_foreign" || true
[ -s "$scratch/tools_foreign" ] && complain "Global in the adapters without their prefix:" "$scratch/tools_foreign"

nm -g --undefined-only "$exec_tools" | awk 'NF == 2 { print $2 }' | sort -u |
    comm -23 - "$scratch/tools_defined" | grep -E '^(pageheap_|ph_)' >"$scratch/tools_upward" || true
[ -s "$scratch/tools_upward" ] && complain "Called by the adapters, which must do without the library:" \
    "$scratch/tools_upward"

[ $status = 0 ] && echo "$(cat "$scratch/declared" "$scratch/tools_declared" | wc -l) functions declared," \
    "documented and exported"
exit $status

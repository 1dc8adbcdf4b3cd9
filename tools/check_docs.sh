#!/bin/sh
# SPDX-License-Identifier: MIT
# Documents: each row of docs/iprt.md ends with the tests that show it, and each of them exists and runs.
set -eu
cd "$(dirname "$0")/.."
status=0

# The last column of the tables that have a "Test" column.
named=$(awk -F'|' '
    /^\|.*\| Test \|$/ { has_tests = 1; next }
    !/^\|/             { has_tests = 0 }
    has_tests && !/^\|-/ { print $(NF - 1) }
' docs/iprt.md | grep -o '`[a-z0-9_]*`' | tr -d '`' | sort -u)
[ -n "$named" ] || { echo "docs/iprt.md names no test"; exit 1; }

for test in $named; do
    grep -qE "cmocka_unit_test[a-z_]*\($test[,)]" tests/iprt/*.c || {
        echo "docs/iprt.md: no test of tests/iprt runs $test"
        status=1
    }
done

bare=$(awk -F'|' '
    /^\|.*\| Test \|$/ { has_tests = 1; next }
    !/^\|/             { has_tests = 0 }
    has_tests && !/^\|-/ && $(NF - 1) !~ /`/ { print FNR ": " $2 }
' docs/iprt.md)
[ -z "$bare" ] || { echo "docs/iprt.md: rows without a test:"; echo "$bare"; status=1; }

[ $status = 0 ] && echo "$(echo "$named" | wc -l) tests named, all there"
exit $status

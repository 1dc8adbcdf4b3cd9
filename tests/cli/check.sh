# SPDX-License-Identifier: MIT
# What the scripts here share: a folder of their own, and checks that say what they saw.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# expect WHAT WANTED SEEN
expect() {
    if [ "$2" != "$3" ]; then
        printf 'FAILED %s\n  wanted: %s\n  seen:   %s\n' "$1" "$2" "$3"
        failures=$((failures + 1))
    fi
}

# expect_match WHAT PATTERN FILE: some line of the file matches.
expect_match() {
    if ! grep -Eq -- "$2" "$3"; then
        printf 'FAILED %s\n  no line matches: %s\n' "$1" "$2"
        sed 's/^/  | /' "$3"
        failures=$((failures + 1))
    fi
}

finish() {
    if [ "$failures" -ne 0 ]; then
        echo "$failures checks failed"
        exit 1
    fi
    echo "all checks passed"
}

#!/bin/sh
# SPDX-License-Identifier: MIT
# Layout: every C and C++ file is as clang-format leaves it.  With --fix, make it so.
set -eu
cd "$(dirname "$0")/.."

mode='--dry-run -Werror'
[ "${1:-}" = --fix ] && mode=-i

folders=
for folder in src include compat adapters bench cli record examples fuzz tests; do
    [ -d "$folder" ] && folders="$folders $folder"
done

# shellcheck disable=SC2086  # both lists are meant to be split
find $folders -type f \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.hpp' \) -print0 |
    xargs -0 -r clang-format $mode

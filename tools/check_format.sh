#!/bin/sh
# SPDX-License-Identifier: MIT
# Layout: every C and C++ file is as clang-format leaves it.  With --fix, make it so.
set -eu
cd "$(dirname "$0")/.."

mode='--dry-run -Werror'
[ "${1:-}" = --fix ] && mode=-i

# shellcheck disable=SC2086  # $mode is meant to be split
find src include compat adapters bench cli record examples contrib tests -type f \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.hpp' \) -print0 |
    xargs -0 -r clang-format $mode

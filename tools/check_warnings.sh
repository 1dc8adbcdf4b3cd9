#!/bin/sh
# SPDX-License-Identifier: MIT
# Warnings: the whole tree builds with every warning an error.
#
# usage: check_warnings.sh gcc|clang
set -eu
cd "$(dirname "$0")/.."
cmake --preset "$1" >/dev/null
cmake --build --preset "$1" -j "$(nproc)"

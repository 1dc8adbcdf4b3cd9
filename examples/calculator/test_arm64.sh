#!/bin/sh
# SPDX-License-Identifier: MIT
# Build the library and the calculator for arm64, and run its test under an emulator.
#
# usage: test_arm64.sh SOURCE_DIR BUILD_DIR
set -eu

for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v $tool >/dev/null || { echo "$tool is not installed"; exit 77; }
done

# Linked statically, the programs need no arm64 system to run on.
cmake -S "$1" -B "$2" -G Ninja \
    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc \
    -DCMAKE_EXE_LINKER_FLAGS=-static -DPAGEHEAP_WERROR=ON \
    -DPAGEHEAP_BUILD_TOOL=OFF -DPAGEHEAP_BUILD_TESTS=OFF -DPAGEHEAP_BUILD_EXAMPLES=ON >/dev/null
cmake --build "$2" --target calculator test_calculator

# The backends that write where the code runs: QEMU before 8.1 keeps its translation of what was there before
# when new code is written through another address.
qemu-aarch64 "$2/examples/calculator/test_calculator"

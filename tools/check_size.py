#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sizes: files of at most 600 lines, functions of at most 70, no #if inside a function.

A C function is what stands between a brace in the first column and the next closing one, which is how
.clang-format lays functions out and nothing else.  C++ lays classes out so too; there only files are
measured.  Usage: check_size.py [ROOT]
"""
import pathlib
import re
import sys

FILE_LINES = 600
FUNCTION_LINES = 70
FOLDERS = ["src", "include", "compat", "adapters", "bench", "cli", "record", "examples", "contrib", "tests"]

# Whoever must differ by platform does so here, and everybody else calls one name.
MAY_BRANCH = ("src/os/", "src/base/compiler.h")
CONDITION = re.compile(r"\s*#\s*(if|ifdef|ifndef|elif|else)\b")


def check_functions(path, lines):
    opened_at = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            opened_at = number
        elif line.startswith("}") and opened_at:
            length = number - opened_at + 1
            if length > FUNCTION_LINES:
                yield f"{path}:{opened_at}: a function of {length} lines; at most {FUNCTION_LINES}"
            opened_at = None
        elif opened_at and CONDITION.match(line) and not path.startswith(MAY_BRANCH):
            yield f"{path}:{number}: #if inside a function; belongs in src/os or src/base/compiler.h"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    complaints, count = [], 0
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix not in {".c", ".h", ".cpp", ".hpp"}:
                continue
            count += 1
            path = file.relative_to(root).as_posix()
            lines = file.read_text().splitlines()
            if len(lines) > FILE_LINES:
                complaints.append(f"{path}: {len(lines)} lines; at most {FILE_LINES}")
            if file.suffix in {".c", ".h"}:
                complaints.extend(check_functions(path, lines))
    if complaints:
        print("\n".join(complaints))
        return 1
    print(f"{count} files within {FILE_LINES} lines, functions within {FUNCTION_LINES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

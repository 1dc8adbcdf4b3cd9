#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Line and branch coverage of the library, a row per file, from what a coverage build left behind.

Usage: coverage.py BUILD_FOLDER
"""
import collections
import json
import pathlib
import subprocess
import sys

FOLDERS = ("src/", "compat/", "adapters/")


def records(build):
    """gcov's record of each source file in each object."""
    for notes in sorted(build.rglob("*.gcda")):
        command = ["gcov", "--json-format", "--stdout", "--branch-probabilities", str(notes.resolve())]
        output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=build).stdout
        for line in output.splitlines():
            if line.startswith("{"):
                yield from json.loads(line)["files"]


def percent(hit, total):
    return f"{100 * hit / total:6.1f} %" if total else "     -  "


def main():
    build = pathlib.Path(sys.argv[1])
    root = pathlib.Path(__file__).parent.parent.resolve()
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    branches = collections.defaultdict(lambda: collections.defaultdict(int))
    for record in records(build):
        path = pathlib.Path(record["file"])
        path = path if path.is_absolute() else build / path
        if not path.resolve().is_relative_to(root):
            continue
        name = path.resolve().relative_to(root).as_posix()
        if not name.startswith(FOLDERS):
            continue
        for line in record["lines"]:
            number = line["line_number"]
            lines[name][number] += line["count"]
            for index, branch in enumerate(line["branches"]):
                branches[name][number, index] += branch["count"]
    if not lines:
        print(f"no counts in {build}: nothing has run there", file=sys.stderr)
        return 1

    print(f"{'file':<40} {'lines':>8} {'branches':>10}   lines that never ran")
    total = [0, 0, 0, 0]
    for name in sorted(lines):
        counts = (sum(c > 0 for c in lines[name].values()), len(lines[name]),
                  sum(c > 0 for c in branches[name].values()), len(branches[name]))
        total = [a + b for a, b in zip(total, counts)]
        missed = sorted(n for n, c in lines[name].items() if c == 0)
        shown = " ".join(map(str, missed[:12])) + (" ..." if len(missed) > 12 else "")
        print(f"{name:<40} {percent(*counts[:2])} {percent(*counts[2:])}   {shown}")
    print(f"{'all':<40} {percent(*total[:2])} {percent(*total[2:])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

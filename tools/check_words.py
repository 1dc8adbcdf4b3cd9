#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Words: a licence line in every source file, no note of unfinished work, no path of a developer's machine,
no line wider than a page.

Usage: check_words.py [ROOT]
"""
import pathlib
import re
import subprocess
import sys

LICENCE = "SPDX-License-Identifier: MIT"
LICENSED_SUFFIXES = {".c", ".h", ".cc", ".cpp", ".hpp", ".py", ".sh", ".cmake", ".in", ".map", ".supp"}
LICENSED_NAMES = {"CMakeLists.txt", "Makefile", ".clang-format", ".ci/run"}

# Written so that this file does not complain of itself.
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K|st[u]b)\b")
MACHINE_PATH = re.compile(r"""(^|[\s"'=(:,])/(home|root|Users|work|workspace|builds)/[\w.-]""")

# .clang-format breaks code at the first of these, and leaves comments as they are.
CODE_COLUMNS = 110
CODE = re.compile(r"(src|include|compat|adapters|bench|cli|record|examples|contrib|tests)/.*\.(c|h|cpp|hpp)$")
PROSE_COLUMNS = 120
PROSE = re.compile(r".*\.md$")


def columns_of(path, line):
    """How wide the line may be, or None: a row of a table cannot be broken."""
    if CODE.match(path):
        return CODE_COLUMNS
    return PROSE_COLUMNS if PROSE.match(path) and not line.startswith("|") else None


def listed_files(root):
    """What git tracks or would track; in an unpacked archive, everything outside build folders."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, check=True, capture_output=True).stdout.decode()
        return sorted({root / name for name in listing.split("\0") if name})
    except (OSError, subprocess.CalledProcessError):
        tops = [top for top in root.iterdir() if top.name != ".git" and not top.name.startswith("build")]
        return sorted(f for top in tops for f in ([top] if top.is_file() else top.rglob("*")))


def check_file(path, text):
    is_source = pathlib.PurePath(path).suffix in LICENSED_SUFFIXES
    is_named = path in LICENSED_NAMES or pathlib.PurePath(path).name in LICENSED_NAMES
    if (is_source or is_named) and LICENCE not in "\n".join(text.splitlines()[:3]):
        yield f"{path}:1: no line '{LICENCE}' among the first three"
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield f"{path}:{number}: a note of unfinished work: {line.strip()[:80]}"
        if MACHINE_PATH.search(line):
            yield f"{path}:{number}: a path of somebody's machine: {line.strip()[:80]}"
        columns = columns_of(path, line)
        if columns and len(line) > columns:
            yield f"{path}:{number}: {len(line)} columns; at most {columns}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    complaints, count = [], 0
    for file in listed_files(root):
        if not file.is_file():
            continue
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue  # pictures and compressed traces hold no words
        count += 1
        complaints.extend(check_file(file.relative_to(root).as_posix(), text))
    if complaints:
        print("\n".join(complaints))
        return 1
    print(f"{count} text files in order")
    return 0


if __name__ == "__main__":
    sys.exit(main())

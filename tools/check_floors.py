#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Include direction: each file may include only what its floor may see.

This table is the one place where the floors are written.  Usage: check_floors.py [ROOT]
"""
import pathlib
import re
import sys

PUBLIC = "include"
HEADER = "include/pageheap/pageheap.h"  # types and codes; the floors that know heaps may see them

# Floor -> what its files may include besides files of their own folder.
FLOORS = {
    "src/base": [],
    "src/os": ["src/base"],
    "src/block": ["src/base"],
    "src/map": ["src/base", "src/os", "src/block", HEADER],
    "src/heap": ["src/base", "src/os", "src/block", "src/map", HEADER],
    "src/exec": ["src/base", "src/os", "src/block", "src/map", "src/heap", PUBLIC],
    "src/api": ["src/base", "src/os", "src/block", "src/map", "src/heap", "src/exec", PUBLIC],
    "include": [],
    "compat": [PUBLIC],
    "adapters": [PUBLIC],
    "record": [PUBLIC],
    "bench": [PUBLIC],
    "cli": [PUBLIC, "bench", "record"],
    "examples": [PUBLIC],
    "contrib": [PUBLIC, "examples"],
    # Only the tests of internals see internals.
    "tests/unit": [PUBLIC, "src", "tests"],
    "tests/model": [PUBLIC, "src", "tests"],
    "tests/fault": [PUBLIC, "src", "tests"],
    "tests/race": [PUBLIC, "src", "tests"],
    "tests/bench": [PUBLIC, "bench", "tests"],
    "tests/exec_tools": [PUBLIC, "adapters", "tests"],
    "tests/cli": [PUBLIC, "bench", "record", "cli", "tests"],
    "tests": [PUBLIC],
}

# Where a quoted or angled name is looked up after the folder of the file itself.
SEARCH = ["include", "src", "adapters", "tests", "bench", "cli", "record", "examples", "contrib/clients", "."]

SUFFIXES = {".c", ".h", ".cc", ".cpp", ".hpp"}

# The library's own code sees these system headers anywhere, all others in src/os only.
SYSTEM_ANYWHERE = {
    "float.h", "iso646.h", "limits.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h",
    "stdint.h", "stdnoreturn.h", "errno.h", "string.h",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def is_inside(path, folder):
    return path == folder or path.startswith(folder + "/")


def floor_of(path):
    matches = [floor for floor in FLOORS if is_inside(path, floor)]
    return max(matches, key=len, default=None)


def resolve(root, path, name):
    for folder in [pathlib.PurePosixPath(path).parent.as_posix()] + SEARCH:
        candidate = (root / folder / name).resolve()
        if candidate.is_file() and candidate.is_relative_to(root):
            return candidate.relative_to(root).as_posix()
    return None


def includes_of(text):
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1) == "<", found.group(2)


def judge_system(path, name):
    """Why a file may not include a system header, or None."""
    if not (is_inside(path, "src") or is_inside(path, "compat")):
        return None
    if is_inside(path, "src/os") or name in SYSTEM_ANYWHERE:
        return None
    return f"<{name}>: system headers belong in src/os"


def judge(path, target):
    """Why `path` may not include `target`, a file of this project, or None."""
    floor = floor_of(path)
    if is_inside(target, floor):
        return None
    if any(is_inside(target, allowed) for allowed in FLOORS[floor]):
        return None
    return f"{floor} may not include {target}"


def find_cycle(graph):
    """One cycle of the include graph as a list of files, or None."""
    done, trail = set(), []

    def visit(node):
        if node in trail:
            return trail[trail.index(node):] + [node]
        if node in done:
            return None
        trail.append(node)
        for target in graph.get(node, []):
            cycle = visit(target)
            if cycle:
                return cycle
        trail.pop()
        done.add(node)
        return None

    for node in sorted(graph):
        cycle = visit(node)
        if cycle:
            return cycle
    return None


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    tops = sorted({floor.split("/")[0] for floor in FLOORS})
    files = [f for top in tops for f in sorted((root / top).rglob("*")) if f.suffix in SUFFIXES]
    complaints, graph = [], {}
    for file in files:
        path = file.relative_to(root).as_posix()
        graph[path] = []
        if floor_of(path) is None:
            complaints.append(f"{path}: on no floor; its folder is not in the table")
            continue
        for number, angled, name in includes_of(file.read_text()):
            target = resolve(root, path, name)
            if angled and (target is None or not is_inside(target, PUBLIC)):
                reason = judge_system(path, name)
            elif target is None:
                reason = f'"{name}" is not a file of this project'
            else:
                graph[path].append(target)
                reason = judge(path, target)
            if reason:
                complaints.append(f"{path}:{number}: {reason}")
    cycle = find_cycle(graph)
    if cycle:
        complaints.append("include cycle: " + " -> ".join(cycle))
    if complaints:
        print("\n".join(complaints))
        return 1
    print(f"{len(files)} files on their floors")
    return 0


if __name__ == "__main__":
    sys.exit(main())

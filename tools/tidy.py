#!/usr/bin/python3
"""tidy.py - clang-tidy over what build/compile_commands.json compiles of ours, on every core.

A file that was clean is not looked at again until it, a header of ours that it reaches, its flags or
a .clang-tidy that holds for it change: .cache/tidy holds an empty file for each such state.

usage: tools/tidy.py CLANG_TIDY [FILE...]
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from sources import ROOT, includes, ours

CACHE = ROOT / ".cache/tidy"
# Flags of gcc that clang does not know are no finding.
EXTRA = ["--quiet", "--extra-arg=-Wno-unknown-warning-option"]
# How findings name a file of ours, seen from the build directory.
HERE = re.compile(rf"({ROOT}/)?(build/)?\.\./(?=\w)|{ROOT}/")


@cache
def reached(path):
    """The file and all of ours that it includes, directly or not."""
    files, todo = set(), [path]
    while todo:
        file = todo.pop()
        if file in files:
            continue
        files.add(file)
        text = (ROOT / file).read_text()
        todo += [f for _, _, f in includes(file, text) if f]
    return sorted(files)


def state_of(path, command, tidy):
    digest = hashlib.sha256(f"{tidy} {EXTRA} {command}".encode())
    configs = [d / ".clang-tidy" for d in path.parents if (ROOT / d / ".clang-tidy").exists()]
    for file in reached(path) + configs:
        digest.update((ROOT / file).read_bytes())
    return CACHE / digest.hexdigest()


def commands():
    """One command for each file of ours, however often it is compiled."""
    build = ROOT / "build"
    known = set(ours(".c"))
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = Path(os.path.normpath(build / entry["file"]))
        if path.is_relative_to(ROOT) and path.relative_to(ROOT) in known:
            found.setdefault(path.relative_to(ROOT), entry["command"])
    return found


def check(tidy, path, command):
    state = state_of(path, command, tidy)
    if state.exists():
        return True
    done = subprocess.run(
        [tidy, *EXTRA, "-p", "build", str(path)], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode == 0:
        state.touch()
        return True
    print(HERE.sub("", done.stdout or done.stderr), end="", flush=True)
    return False


def main():
    tidy, *only = sys.argv[1:]
    CACHE.mkdir(parents=True, exist_ok=True)
    todo = {p: c for p, c in commands().items() if not only or str(p) in only}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda item: check(tidy, *item), todo.items()))
    if not all(results):
        print(f"tidy: findings in {results.count(False)} of {len(results)} files")
        sys.exit(1)


if __name__ == "__main__":
    main()

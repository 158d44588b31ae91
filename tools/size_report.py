#!/usr/bin/python3
"""size_report.py - how long our files and functions are: median, p90, max.

Fails when a .c has more than 1000 lines or a function more than 100. A function that is one flat table may say so on
the line before it: NOLINTNEXTLINE(readability-function-size), which clang-tidy reads too, with the reason.

usage: tools/size_report.py
"""

import re
import statistics
import sys

from sources import ROOT, ours

MAX_FILE = 1000
MAX_FUNCTION = 100
EXCEPTED = "NOLINTNEXTLINE(readability-function-size)"

# clang-format puts the braces of a function, and of nothing else but a type or a table, at the start of a line.
FUNCTION = re.compile(
    r"^[A-Za-z_][^;{}=#]*?\b(?P<name>\w+)\([^;{}]*\)\n\{\n.*?^\}$", re.MULTILINE | re.DOTALL
)


def functions(text):
    """(name, line, number of lines, signature included) of each function that is not excepted."""
    for match in FUNCTION.finditer(text):
        if EXCEPTED not in text[: match.start()].rstrip("\n").rpartition("\n")[2]:
            line = text.count("\n", 0, match.start()) + 1
            yield match["name"], line, match[0].count("\n") + 1


def row(what, sizes):
    """One line of the report; `sizes` is (size, where)."""
    numbers = sorted(n for n, _ in sizes)
    p90 = numbers[(len(numbers) * 9 - 1) // 10]
    size, where = max(sizes)
    median = int(statistics.median(numbers))
    print(f"{what:10} {len(numbers):6} {median:7} {p90:5} {size:5}  {where}")


def main():
    product, tests, long = {"files": [], "functions": []}, {"files": [], "functions": []}, []
    for path in ours(".c"):
        text = (ROOT / path).read_text()
        part = product if path.parts[0] == "src" else tests
        n_lines = text.count("\n")
        part["files"].append((n_lines, str(path)))
        if n_lines > MAX_FILE:
            long.append(f"{path}: {n_lines} lines, more than {MAX_FILE}")
        for name, line, size in functions(text):
            part["functions"].append((size, f"{path}:{line} {name}"))
            if size > MAX_FUNCTION:
                long.append(f"{path}:{line}: {name} has {size} lines, more than {MAX_FUNCTION}")
    for title, part in (("src", product), ("the rest", tests)):
        print(f"{title:10} number  median   p90   max")
        for what, sizes in part.items():
            row(what, sizes)
    print(*long, sep="\n", end="\n" if long else "")
    sys.exit(1 if long else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""count_tests.py - adds up what the test runners report; its last line is the verdict.

A report is meson's testlog.json or pytest's JUnit XML. A program of cmocka's counts as the tests it says it ran, any
other as one test. A report that is not there is a runner that died: one failure.

usage: tools/count_tests.py LABEL=REPORT...
"""

import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

# cmocka's summary: "[  PASSED  ] 12 test(s)." and "[  FAILED  ] 1 test(s), listed below:"
SUMMARY = re.compile(r"\[  (PASSED|FAILED|SKIPPED) *\]\s+(?:\w+: )?(\d+) test\(s\)")


def of_program(entry):
    """passed, failed, skipped of one program that meson ran."""
    output = entry.get("stdout", "") + entry.get("stderr", "")
    counts = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
    for word, number in SUMMARY.findall(output):
        counts[word] += int(number)
    passed, failed, skipped = counts.values()
    if entry["result"] == "SKIP":
        return 0, 0, 1
    if entry["result"] != "OK":
        return passed, max(failed, 1), skipped
    return passed or 1, failed, skipped


def of_meson(path):
    return [of_program(json.loads(line)) for line in path.read_text().splitlines()]


def of_pytest(path):
    for suite in ET.parse(path).iter("testsuite"):
        total, failed, skipped = (
            sum(int(suite.get(name, 0)) for name in names)
            for names in (("tests",), ("failures", "errors"), ("skipped",))
        )
        yield total - failed - skipped, failed, skipped


def main():
    total = [0, 0, 0]
    for argument in sys.argv[1:]:
        label, _, path = argument.partition("=")
        try:
            found = list((of_meson if path.endswith(".json") else of_pytest)(Path(path)))
        except (OSError, ValueError, ET.ParseError) as error:
            print(f"{label}: its build or its runner failed; no report ({error})")
            found = [(0, 1, 0)]
        counts = [sum(column) for column in zip(*found)] or [0, 0, 0]
        print("{:14} {:5} passed {:3} failed {:3} skipped".format(label, *counts))
        total = [a + b for a, b in zip(total, counts)]
    print("{} passed, {} failed, {} skipped".format(*total))
    sys.exit(1 if total[1] or not total[0] else 0)


if __name__ == "__main__":
    main()

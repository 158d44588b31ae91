#!/usr/bin/python3
"""check_docs.py - what our pages point to is there: files, headings, and the tests that docs/guide/lost.md names.

One line per finding and exit status 1.

usage: tools/check_docs.py
"""

import re
import sys
from functools import cache

from sources import ROOT

LOST = ROOT / "docs/guide/lost.md"
LINK = re.compile(r"\]\((?!\w+:)([^)#]*)#?([^)]*)\)")
TEST = re.compile(r"def (test_\w+)|static void (\w+)\(void \*\*|\btest\('([\w-]+)'")


def pages():
    found = [*ROOT.glob("*.md"), *(p for d in ("docs", "examples", "changes", "tests") for p in (ROOT / d).rglob("*.md"))]
    return [page for page in found if "node_modules" not in page.parts]


@cache
def anchors(page):
    """Of each heading, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_links(page):
    for match in LINK.finditer(page.read_text()):
        path, anchor = match[1], match[2]
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            yield f"there is no {path}"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield f"{path or page.name} has no heading #{anchor}"


def check_tests():
    """The last column of each row names tests, by a part of their name."""
    files = [p for end in ("*.py", "*.c", "meson.build") for p in (ROOT / "tests").rglob(end)]
    texts = (p.read_text() for p in files if "node_modules" not in p.parts)
    names = [name for text in texts for match in TEST.findall(text) for name in match if name]
    for row in LOST.read_text().splitlines():
        for part in re.findall(r"`([^`]+)`", row.split("|")[-2]) if row.startswith("|") else ():
            if not any(part in name for name in names):
                yield f"there is no test {part}"


def main():
    found = [(page, what) for page in pages() for what in check_links(page)] + [(LOST, what) for what in check_tests()]
    for page, what in found:
        print(f"{page.relative_to(ROOT)}: {what}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

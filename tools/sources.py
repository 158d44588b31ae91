"""sources.py - which files are ours, and what they include: shared by the checks of ./dev lint."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("include", "src", "tests", "bench", "examples", "fuzz")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def ours(*suffixes, folders=FOLDERS):
    """Our files with these suffixes, as paths relative to the repository, sorted."""
    found = (p for folder in folders for p in (ROOT / folder).rglob("*"))
    return sorted(
        p.relative_to(ROOT)
        for p in found
        if p.suffix in suffixes and "node_modules" not in p.parts
    )


def includes(path, text):
    """What a file includes: (line number, name as written, file of ours or None)."""
    result = []
    for match in INCLUDE.finditer(text):
        name = match[1] or match[2]
        places = [ROOT / "include", ROOT / "src"]
        if match[1]:
            places.insert(0, (ROOT / path).parent)
        file = next((d / name for d in places if (d / name).is_file()), None)
        line = text.count("\n", 0, match.start()) + 1
        result.append((line, name, file and file.resolve().relative_to(ROOT)))
    return result

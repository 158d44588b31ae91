#!/usr/bin/env python3
"""Writes a file as a C array, the name made from the file's: index.html becomes index_html[].

usage: embed.py FILE HEADER
"""

import re
import sys
from pathlib import Path


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    source, header = Path(sys.argv[1]), Path(sys.argv[2])
    name = re.sub(r"\W", "_", source.name)
    data = source.read_bytes()
    rows = (",".join(str(byte) for byte in data[i : i + 24]) for i in range(0, len(data), 24))
    body = ",\n".join(rows)
    header.write_text(f"/* {source.name}, by tools/embed.py */\nstatic const unsigned char {name}[] = {{\n{body}}};\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

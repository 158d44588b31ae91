"""The cases of smuggling/*.http: what is sent, whence it is known, and what must come of it.

    == CL.TE: whoever reads the length sees one request, whoever decodes sees two
    # RFC 9112 6.3; CVE-2020-10109 (Twisted)
    > POST / HTTP/1.1\\r\\n                 (escapes: \\r \\n \\t \\\\ \\xHH; no line end of its own)
    >3 X: y\\r\\n                          (three times)
    < 400                                (refused: nothing reaches the application, and the connection is closed)
    < 200 GET /path 5                    (the application is asked this, with so many bytes of body)
    < 200 GET /path 0 closed             (and it is the connection's last)
    < 426 open                           (refused, and the connection goes on)

Every case has its rule or its CVE in a line that begins with '#'.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "smuggling"
ESCAPE = re.compile(rb"\\(x([0-9a-f]{2})|[rnt\\])")
PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}


@dataclass
class Answer:
    status: int
    seen: str  # what the application notes down; "" when it is not to be asked
    is_last: bool


@dataclass
class Case:
    name: str
    source: str = ""
    bytes: bytes = b""
    answers: list = field(default_factory=list)

    @property
    def goes_on(self):
        """Is the connection good for a further request?"""
        return not self.answers[-1].is_last


def unescape(text):
    return ESCAPE.sub(lambda m: bytes([int(m[2], 16)]) if m[2] else PLAIN[m[1]], text.encode())


def read_answer(words):
    """Who is refused is cut off, who is answered goes on, unless it is said otherwise."""
    end = words.pop() if words[-1] in ("open", "closed") else ""
    seen = " ".join(words[1:])
    return Answer(int(words[0]), seen, end == "closed" or (not seen and end != "open"))


def read_cases(path):
    case = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        kind, _, rest = line.partition(" ")
        if kind == "==":
            case = Case(f"{path.stem}: {rest}")
            yield case
        elif kind.startswith(">"):
            case.bytes += unescape(rest) * int(kind[1:] or 1)
        elif kind == "<":
            case.answers.append(read_answer(rest.split()))
        elif kind == "#" and case:
            case.source += rest
        else:
            assert not line or not case, f"{path.name}:{number}: {line}"


def load():
    cases = [case for path in sorted(FOLDER.glob("*.http")) for case in read_cases(path)]
    for case in cases:
        assert case.bytes and case.answers, f"{case.name}: nothing sent, or nothing expected"
        assert re.search(r"RFC \d+|CVE-\d{4}-\d+", case.source), f"{case.name}: no rule and no CVE"
    assert len({case.name for case in cases}) == len(cases), "two cases of one name"
    return cases

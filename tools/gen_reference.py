#!/usr/bin/python3
"""gen_reference.py - writes the pages of docs/reference that are tables: errors, reasons, log, metrics.

What they say comes from the .def tables that the code is compiled with, and from the access log's source, so that
neither can drift from the other. settings.md and headrace.1 are written by the build's own program (src/cli/manual.c).

usage: tools/gen_reference.py [--check]     --check changes nothing; exit status 1 when a page is not what it should be
"""

import re
import sys
import textwrap

from sources import ROOT

PAGES = ROOT / "docs" / "reference"
NOTE = "<!-- Written by tools/gen_reference.py from {}. Do not edit. -->"

TOKEN = re.compile(r'"((?:\\.|[^"\\])*)"|/\*.*?\*/|([(),])|([^\s"(),/]+)|.', re.DOTALL)


def rows(path, macro):
    """The arguments of each MACRO(...) of a table; adjacent strings are one."""
    text = (ROOT / path).read_text()
    text = re.sub(r"^[ \t]*#.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found = [row(text, match.end()) for match in re.finditer(rf"\b{macro}\(", text)]
    if not found:
        sys.exit(f"{path}: no {macro}()")
    return found


def row(text, start):
    """One argument list, from behind its opening bracket."""
    args = [""]
    for match in TOKEN.finditer(text, start):
        string, mark, word = match[1], match[2], match[3]
        if mark == ")":
            return args
        if mark == ",":
            args.append("")
        elif string is not None:
            args[-1] += string.replace('\\"', '"')
        elif word:
            args[-1] += word
    sys.exit(f"an argument list does not end: {text[start:start + 60]!r}")


def paragraph(text):
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def table(head, body):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(line) + " |" for line in body])


def sentence(text):
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def matching(what, found, known):
    """Everything that the source has must have its sentence here, and nothing else may."""
    if set(found) != set(known):
        sys.exit(f"{what}: it and this script differ in {sorted(set(found) ^ set(known))}")


# ---- errors ----------------------------------------------------------------------------------------------------------

EXITS = {
    "OK": "done, or stopped as asked",
    "SETTINGS": "a setting is wrong, or something else failed; the message says what",
    "USAGE": "the command line is wrong",
    "APP_FAILED": "the application failed while it started",
    "APP_NOT_FOUND": "there is no such application, or it has no `hr_app()`",
    "BIND": "an address cannot be listened on",
    "LAYER": "the channel layer cannot be opened, or the site runs already",
    "TLS": "reserved: there is no TLS yet",
}


def exit_codes():
    source = "src/cli/exit.h"
    found = dict(re.findall(r"HR_EXIT_(\w+) = (\d+)", (ROOT / source).read_text()))
    matching(source, found, EXITS)
    return [(number, EXITS[name]) for name, number in found.items()]


def errors():
    source = "include/headrace/errors.def"
    body = [
        (number.replace("-", "−"), f"`HR_ERR_{name}`", http, websocket, meaning)
        for name, number, http, websocket, _python, meaning in rows(source, "HR_ERROR")
    ]
    return "\n\n".join([
        "# Errors",
        NOTE.format(f"{source} and src/cli/exit.h"),
        paragraph("One return rule holds in the whole C API (`<headrace/error.h>`): 0 is done, a negative number is an "
                  "error of this table, a positive number is an outcome that the function's comment names. Numbers are "
                  "never reused."),
        paragraph("HTTP is the status that a request gets whose consumer returned the error before it answered. "
                  "WebSocket is the code that a socket is closed with whose `websocket.receive` failed so; a "
                  "handshake is denied with the HTTP status."),
        table(("number", "name", "HTTP", "WebSocket", "meaning"), body),
        "## Exit codes of `headrace`",
        table(("code", "meaning"), exit_codes()),
    ])


# ---- reasons ---------------------------------------------------------------------------------------------------------


def reasons():
    source = "include/headrace/reasons.def"
    body = [(f"`{word}`", meaning) for _name, word, meaning in rows(source, "HR_REASON") if word != "none"]
    return "\n\n".join([
        "# Reasons",
        NOTE.format(source),
        paragraph("Why something was refused or dropped. The same words stand in the log (`reason=`), in the metrics "
                  "(`headrace_dropped_total`, `headrace_requests_total`), in `headrace status` and, with the setting "
                  "`server.expose_reason`, in the response header `X-Headrace-Reason`. They are added to, never "
                  "renamed."),
        table(("reason", "meaning"), body),
    ])


# ---- the log ---------------------------------------------------------------------------------------------------------

FIELDS = {
    "request_id": "the client's `X-Request-Id` when it is sane, else one of ours; also sent back and passed on",
    "trace_id": "from the request's `traceparent` (W3C Trace Context)",
    "client": "the peer's address",
    "method": "the request's",
    "host": "the request's `Host`",
    "path": "as it came, without the query; for a closed WebSocket decoded",
    "status": "of the answer; 499: the client left first. Of a closed WebSocket: the close code",
    "bytes_in": "of the body, or of all messages",
    "bytes_out": "of the body, or of all messages",
    "total_ms": "from the head's first byte to the end of the answer; of a closed WebSocket, how long it was open",
    "pool": "which pool it was routed to",
    "worker": "who took it, where that is known",
    "queue_ms": "from sending the event to a worker's taking it, where that is known",
    "app_ms": "from the take to the end of the answer, where that is known",
    "retries": "how often it was given to another worker after a death",
    "protocol": "`http/1.1` or `websocket`",
    "reason": "of a refusal; see [reasons](reasons.md)",
}


def access_fields():
    source = "src/server/access.c"
    found = re.findall(r'(?:put_text|hr_logline_\w+)\(&?line, "(\w+)"', (ROOT / source).read_text())
    matching(source, found, FIELDS)
    return list(FIELDS)


def log():
    source = "src/tables/events.def"
    body = [
        (f"`{word}`", level.lower(), meaning) for _name, level, word, meaning in rows(source, "HR_EVENT")
    ]
    return "\n\n".join([
        "# The log",
        NOTE.format(f"{source} and src/server/access.c"),
        paragraph("One line an event: `TIME LEVEL EVENT key=value ...` on a terminal, elsewhere a JSON object with "
                  "`ts`, `level`, `event` and the keys as members (`log_format` chooses). Event words are stable: they "
                  "are added to, never renamed."),
        table(("event", "level", "meaning"), body),
        "## The access log",
        paragraph("A line `request` for each request, a line `websocket` when a handshake is answered and another when "
                  "the socket has closed. What is not known is left out."),
        table(("field", "meaning"), [(f"`{key}`", FIELDS[key]) for key in access_fields()]),
    ])


# ---- metrics ---------------------------------------------------------------------------------------------------------


def metrics():
    source = "src/tables/metrics.def"
    parts = [
        "# Metrics",
        NOTE.format(source),
        paragraph("`/metrics` on the admin listener (`server.admin`) gives these in Prometheus' text format, summed "
                  "over all interface servers of the layer. Counters stand in the layer: they outlive the processes "
                  "that counted, and begin anew when the layer is made anew. A series appears with its first value. "
                  "More than 200 channels fold into `other`."),
    ]
    for _name, word, kind, labels, meaning in rows(source, "HR_METRIC"):
        shown = ", ".join(f"`{label}`" for label in labels.split(",") if label)
        parts += [f"## `{word}`", f"{kind} · labels: {shown}", paragraph(sentence(meaning))]
    return "\n\n".join(parts)


# ----------------------------------------------------------------------------------------------------------------------


def main():
    arguments = sys.argv[1:]
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    pages = {"errors.md": errors, "reasons.md": reasons, "log.md": log, "metrics.md": metrics}
    is_stale = False
    for name, write in pages.items():
        path, text = PAGES / name, write() + "\n"
        if path.is_file() and path.read_text() == text:
            continue
        is_stale = True
        if arguments:
            print(f"{path.relative_to(ROOT)}: is not what the tables say; run tools/gen_reference.py", file=sys.stderr)
        else:
            path.write_text(text)
    return 1 if arguments and is_stale else 0


if __name__ == "__main__":
    sys.exit(main())

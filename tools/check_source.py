#!/usr/bin/python3
"""check_source.py - the rules of our C that no compiler and no clang-tidy holds.

Each rule is a function below: it gets a file and yields (line, what is wrong). Exceptions stand in the tables
beside the rules, each with its reason. `./dev lint` runs all of it; exit status 1 and one line per finding.

usage: tools/check_source.py
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from sources import ROOT, includes, ours


class File:
    """One source: its text as written, and the same with comments and strings blanked, line for line."""

    NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)

    def __init__(self, path):
        self.path = path
        self.text = (ROOT / path).read_text()
        self.code = self.NOISE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), self.text)
        self.comments = [m for m in self.NOISE.finditer(self.text) if m[0].startswith("/")]
        self.includes = includes(path, self.text)
        self.top = path.parts[0]
        self.module = path.parts[1] if self.top == "src" else None

    def line(self, position):
        return self.text.count("\n", 0, position) + 1


# ---- banned calls ---------------------------------------------------------------------------------------------------

# What no part may call, in words, and what to take instead.
EVERYWHERE = {
    "strcpy strcat sprintf vsprintf gets stpcpy": "writes without a bound: snprintf(), hr_str or hr_buf",
    "strtok atoi atol atoll atof": "hides errors: hr_str_*, or strto*() with its errno",
    "localtime gmtime ctime asctime": "static result: the _r variant",
    "alloca": "grows the stack by input",
    "tmpnam mktemp": "a race: mkstemp() or mkdtemp()",
    "signal": "its meaning varies: sigaction(); signal(n, SIG_IGN or SIG_DFL) is fine",
    "assert": "vanishes in releases: hr_assert() (<assert.h> is fine for static_assert)",
}
# Limits are kept and failures injected in base/alloc.h.
PRODUCT = {
    "malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf": "allocate by base/alloc.h",
}
# Other threads of the process may be at the same. The command line asks before there are any.
LIBRARY = {
    "getpwnam getpwuid getgrnam getgrgid strsignal": "static result: the _r variant",
    "rand random drand48": "shared state: base/random.h",
    "setenv unsetenv putenv clearenv": "others may read the environment meanwhile",
}
ALLOWED_CALLS = {"src/base/alloc.c": PRODUCT}

FINE = re.compile(r"signal\(\w+, SIG_(?:IGN|DFL)\)")
CALL = re.compile(r"(?<![\w.>])(\w+)\(")


def banned_in(f):
    tables = [EVERYWHERE]
    if f.top == "src":
        tables.append(PRODUCT)
        if f.module != "cli":
            tables.append(LIBRARY)
    tables = [t for t in tables if t is not ALLOWED_CALLS.get(str(f.path))]
    return {name: why for table in tables for names, why in table.items() for name in names.split()}


def check_calls(f):
    banned = banned_in(f)
    for match in CALL.finditer(f.code):
        if match[1] in banned and not FINE.match(f.code, match.start()):
            yield f.line(match.start()), f"{match[1]}(): {banned[match[1]]}"


# ---- types and comments ---------------------------------------------------------------------------------------------

TYPEDEF = re.compile(r"^[ \t]*typedef\s+(?:const\s+)?(struct|enum|union)\b", re.MULTILINE)
TODO = re.compile(r"\b(?:TODO|FIXME|XXX)\b(?!\(#\d+\))")


def check_types(f):
    for match in TYPEDEF.finditer(f.code):
        yield f.line(match.start()), f"no typedef for a {match[1]}"


def check_comments(f):
    if not f.text.startswith(f"/* {f.path.name} - "):
        yield 1, f"starts with its essay: /* {f.path.name} - what it is for"
    for comment in f.comments:
        for match in TODO.finditer(comment[0]):
            yield f.line(comment.start() + match.start()), "write TODO(#N), N being the issue"


# ---- includes point one way -----------------------------------------------------------------------------------------

BELOW = {
    "base": set(),
    "message": {"base"},
    "http1": {"base"},
    "websocket": {"base"},
    "layer": {"message", "base"},
    "server": {"layer", "http1", "websocket", "message", "base"},
    "worker": {"layer", "message", "base"},
    "cli": {"worker", "server", "layer", "http1", "websocket", "message", "base"},
}
# Which module keeps what a public header promises; headers not named here may be included by all.
PUBLIC = {"message.h": "message", "layer.h": "layer", "worker.h": "worker"}
ALLOWED_INCLUDES = {
    # hr_reason_name(): the words stand beside those of the errors.
    ("src/base/error.c", "headrace/layer.h"),
}


def module_of(include):
    """Whose header it is; None: nobody's, as the tables of src/tables are data."""
    if include.parts[0] == "include":
        return PUBLIC.get(include.name)
    return include.parts[1] if include.parts[:2] != ("src", "tables") else None


def check_directions(f):
    if f.top not in ("src", "include"):
        return
    for line, name, file in f.includes:
        if not file or (str(f.path), name) in ALLOWED_INCLUDES:
            continue
        if f.top == "include" and file.parts[0] != "include":
            yield line, f"a public header needs {name}, which is not installed"
        elif f.top == "src" and module_of(file) not in {None, f.module} | BELOW.get(f.module, set()):
            yield line, f"{f.module} may not include {name}: includes point one way"


def check_include_order(f):
    """Own header, then <system>, then "ours"; one block each at most, so that what is missing shows."""
    own = f.path.with_suffix(".h")
    if f.path.suffix != ".c" or not (ROOT / own).is_file():
        return
    headers = [(line, file) for line, name, file in f.includes if name.endswith(".h")]
    if headers and headers[0][1] != own:
        yield headers[0][0], f"its own header comes first: {own.name}"


# ---- errors that cannot be ignored by mistake -----------------------------------------------------------------------

INT_FUNCTION = re.compile(r"^(?:HR_API )?int \*?(\w+)\(", re.MULTILINE)
# These give no error that could be lost:
NOT_ERRORS = {
    # a number of another kind: a length, a status, a close code, a descriptor
    *"hr_error_format hr_error_http hr_error_websocket hr_layer_fd ipc_fd hr_process_pidfd".split(),
    # what they are given, kept or printed on the way to the caller's `return`
    *"hr_ctx_note hr_loop_error hr_layer_refuse hr_diag_say hr_settings_unknown_key".split(),
    *"hr_complain_of_settings hr_send_complain".split(),
    # as kill(2): who is gone needs no signal
    "hr_process_pidfd_kill",
}
# worker.h: calls on a context remember their first error (STYLE 4). verbs.h: exit codes, called through a table.
NOT_CHECKED = {"include/headrace/worker.h", "src/cli/verbs.h"}


def check_must_check(f):
    if f.path.suffix != ".h" or f.top not in ("src", "include") or str(f.path) in NOT_CHECKED:
        return
    for match in INT_FUNCTION.finditer(f.code):
        if match[1] not in NOT_ERRORS:
            yield f.line(match.start()), f"{match[1]}(): HR_MUST_CHECK, its errors can be lost"


# ---- each header compiles alone -------------------------------------------------------------------------------------

STRICT = ["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Iinclude", "-Isrc"]
LLHTTP = ["-isystem", "/usr/share/include/llhttp"]  # where node-llhttp has it


def compiles(language, f, *options):
    """Included, not compiled: a header as main file draws warnings of its own."""
    command = ["cc", *STRICT, *options, f"-I{f.path.parent}", "-x", language, "-"]
    program = f'#include "{f.path}"\nstruct alone;\n'
    done = subprocess.run(command, input=program, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        yield 1, f"does not compile alone as {language}:\n{done.stderr.rstrip()}"


def check_alone(f):
    if f.path.suffix != ".h":
        return
    yield from compiles("c", f, "-std=c17", "-D_GNU_SOURCE", "-I.", *LLHTTP)
    if f.top == "include":
        yield from compiles("c++", f, "-std=c++11", "-I.")


RULES = [check_calls, check_types, check_comments, check_directions, check_include_order, check_must_check, check_alone]


def findings(path):
    f = File(path)
    return [f"{path}:{line}: {what}" for rule in RULES for line, what in rule(f)]


def main():
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [text for texts in pool.map(findings, ours(".c", ".h")) for text in texts]
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

"""h1spec's checks of HTTP/1.1, in its strict mode: what fails are the deviations that README.md argues, and no others.

It is in no package registry and has no release, so nothing is installed: HEADRACE_H1SPEC names the command, or it is
`h1spec` in PATH.
"""

import os
import re
import shlex
import shutil
import subprocess

import pytest

from support.headrace import BUILD, PATIENCE, Headrace, wait_until

PROBE = BUILD / "tests" / "system" / "probe.so"
COMMAND = os.environ.get("HEADRACE_H1SPEC") or shutil.which("h1spec")
RESULT = re.compile(r"([✓✗])\x1b\[0m \d+\. (.*)")
DEVIATIONS = set()  # by their names; each has a paragraph in README.md
N_CHECKS = 33  # that there were at least, when this was written


@pytest.mark.skipif(not COMMAND, reason="no h1spec: see tests/conformance/README.md")
def test_h1spec_strict(tmp_path):
    with Headrace(tmp_path, PROBE, "--name", "h1spec") as site:
        command = [*shlex.split(COMMAND), "--strict", f"127.0.0.1:{site.port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * 10, check=False)
        wait_until(site.is_at_rest, "the site at rest")
    results = RESULT.findall(done.stdout)
    assert len(results) >= N_CHECKS, done.stdout + done.stderr
    assert {name for mark, name in results if mark == "✗"} == DEVIATIONS, done.stdout

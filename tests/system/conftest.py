"""Sites for the tests of this folder: the real binary, and at the end everything as it was at the beginning."""

import subprocess

import pytest

from support.headrace import BUILD, PATIENCE, Headrace, read_proc, wait_until
from support.memory import n_fds, rss_anon

MIB = 1 << 20
PROBE = BUILD / "tests" / "system" / "probe.so"
HELD_MAX = 6 * MIB  # that a server may have kept of its own memory: pools of buffers, not leaks
FDS_MAX = 4  # that it may hold more than at its start: one for each worker that has come since


class Site(Headrace):
    """A site that is checked when it is left: nothing in the layer, no client, servers as small as they were."""

    is_over = False  # the test has ended it itself

    def __enter__(self):
        super().__enter__()
        self.fds = {pid: n_fds(pid) for pid in self.pids("server")}
        self.memory = {pid: rss_anon(pid) for pid in self.fds}
        return self

    def __exit__(self, failure, *rest):
        if failure is None and not self.is_over:
            try:
                self.assert_at_rest()
            except BaseException as error:
                super().__exit__(error, *rest)
                raise
        super().__exit__(failure or self.is_over, *rest)

    @staticmethod
    def is_running(pid):
        """A zombie is not: its command line is gone."""
        return bool(read_proc(pid, "cmdline"))

    def assert_at_rest(self):
        """Every gauge is back at zero."""
        try:
            wait_until(self.is_at_rest, "the site at rest")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.status()}\n{self.log()[-4000:]}") from None
        for pid, before in self.fds.items():
            if not self.is_running(pid):
                continue
            wait_until(lambda: n_fds(pid) <= before + FDS_MAX, f"few descriptors of server {pid}: {before} before")
            assert rss_anon(pid) - self.memory[pid] < HELD_MAX

    def output(self, text):
        """Lines that a worker printed."""
        return [line for line in self.events("output") if line["text"].startswith(text)]

    def wait_for_output(self, text, n=1):
        return wait_until(lambda: len(self.output(text)) >= n and self.output(text), f"{n} of the line {text!r}")

    def requests(self, **fields):
        """Lines of the access log."""
        return self.events("request", **fields)

    def run_again(self):
        """The same command once more, while the first one's processes are there."""
        return subprocess.run(
            self.command, cwd=self.directory, env=self.env, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def ready(self, pool="web"):
        """Pids of the pool's workers that take work."""
        return [
            member["pid"]
            for member in self.status()["members"]
            if member["role"] == "worker" and member["ready"] and member["label"].startswith(f"{pool}.")
        ]


@pytest.fixture
def site(tmp_path):
    """Makes sites, one after the other: `with site("-w", 1) as s:`. Its application is the probe unless told."""

    def make(*options, app=PROBE, env=None):
        n = len(list(tmp_path.glob("site*")))
        directory = tmp_path / f"site{n}"
        directory.mkdir()
        return Site(directory, app, "--name", "test", *(str(word) for word in options), env=env)

    return make

"""A site of its own for one test: `headrace run` on a free port, its layer in a directory of the test's.

Nothing is found by name: processes are the supervisor's own children, told apart by their command lines, and whatever
was started is stopped by its pid.
"""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("HEADRACE_BUILD", ROOT / "build")).resolve()
PATIENCE = float(os.environ.get("HEADRACE_PATIENCE", "20"))  # seconds; more for slow machines and sanitizers

# What would decide for the test if the developer's shell had it.
FOREIGN = ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "LISTEN_FDS", "LISTEN_PID", "RUNTIME_DIRECTORY")


def example(name):
    return BUILD / "examples" / f"{name}.so"


def wait_until(condition, what, patience=PATIENCE):
    """Returns the first true value of `condition()`; fails with `what` when there is none in time."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(0.02)


def request(s, method, path):
    """The answer of a site to one request, all of it."""
    with socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        sock.sendall(head.encode())
        got = b""
        while piece := sock.recv(65536):
            got += piece
        return got.decode("latin-1")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read_proc(pid, name):
    """The words of /proc/PID/NAME; none when the process is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
    except (FileNotFoundError, ProcessLookupError):
        return []


class Headrace:
    """`with Headrace(tmp_path, app) as site:` runs it until the end of the block."""

    def __init__(self, directory, app, *options, env=None):
        self.directory = Path(directory)
        self.layer = f"ipc:{self.directory / 'layer'}"
        self.log_path = self.directory / "headrace.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.env = {
            key: value
            for key, value in os.environ.items()
            if key not in FOREIGN and not (key.startswith("HEADRACE_") and key != "HEADRACE_BUILD")
        }
        self.env.update(env or {})
        bind = ("--layer", self.layer, "--bind", f"127.0.0.1:{self.port}")
        self.command = [str(word) for word in (BUILD / "headrace", "run", app, *bind, *options)]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, failure, *_):
        code = self.stop()
        assert failure or code == 0, f"headrace ended with {code}:\n{self.log()}"

    # -- its life

    def start(self):
        (self.directory / "layer").mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.directory, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            wait_until(self._is_serving, "the site to serve")
        except BaseException:
            self.stop()
            raise

    def _is_serving(self):
        assert self.process.poll() is None, f"headrace ended with {self.process.returncode}:\n{self.log()}"
        return self.events("start", pid=self.process.pid)  # comes last, after every worker_ready

    def stop(self, patience=PATIENCE):
        """Ends it as an operator would. Returns the exit code; kills what will not go."""
        if self.process.poll() is None:
            children = self.children()
            self.process.terminate()
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                for pid in children:
                    self.kill(pid)
                raise
        return self.process.returncode

    # -- its processes

    def children(self):
        pid = self.process.pid
        return [int(word) for word in read_proc(pid, f"task/{pid}/children")]

    def pids(self, kind, pool=None):
        """Of the processes of one kind, "server" or "worker"; of one pool's."""
        return [pid for pid in self.children() if self._is(pid, kind, pool)]

    @staticmethod
    def _is(pid, kind, pool):
        words = read_proc(pid, "cmdline")  # headrace: worker SITE POOL.N
        return kind in words[:2] and (pool is None or words[-1].startswith(f"{pool}."))

    @staticmethod
    def kill(pid, number=signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def kill_workers(self, pool=None, number=signal.SIGKILL):
        """All at once. Returns who they were."""
        pids = self.pids("worker", pool)
        for pid in pids:
            self.kill(pid, number)
        return pids

    def wait_for_workers(self, pool, n, without=()):
        """Until `n` workers of the pool are ready, none of them one of `without`."""

        def ready():
            pids = [
                member["pid"]
                for member in self.status()["members"]
                if member["role"] == "worker" and member["ready"] and member["label"].startswith(f"{pool}.")
            ]
            return pids if len(pids) == n and not set(pids) & set(without) else None

        return wait_until(ready, f"{n} new workers of {pool}")

    # -- what it says

    def run(self, *words, check=True):
        """Another `headrace` on the same layer: `site.run("group", "count", "room.lobby")`."""
        command = [str(BUILD / "headrace"), *words, "--layer", self.layer]
        return subprocess.run(
            command, cwd=self.directory, env=self.env, capture_output=True, text=True, timeout=PATIENCE, check=check
        )

    def status(self):
        return json.loads(self.run("status", "--json", "--all").stdout)

    def pool(self, name):
        return next(pool for pool in self.status()["pools"] if pool["name"] == name)

    def channel(self, name):
        """Statistics of a channel; zeros when it is not there yet."""
        nothing = {"name": name, "waiting": 0, "sent": 0, "received": 0, "refused": 0, "dropped": {}}
        return next((row for row in self.status()["channels"] if row["name"] == name), nothing)

    def is_at_rest(self):
        """No client, and nothing left in the layer. (DESIGN: every gauge returns to zero.)"""
        status = self.status()
        waiting = sum(row["waiting"] for row in status["channels"])
        return status["connections"] == {"http": 0, "websocket": 0} and status["bytes_used"] == 0 and waiting == 0

    def log(self):
        return self.log_path.read_text(errors="replace")

    def events(self, event, **fields):
        """Log lines of one kind whose fields are as given."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{") and line.endswith("}")]
        wanted = {"event": event, **fields}
        return [line for line in lines if wanted.items() <= line.items()]

"""What a process holds: its own memory, its descriptors."""

import contextlib
import os
import threading
from pathlib import Path


# A sanitizer keeps what was freed for a while, and shadows of the rest: memory is judged in the plain build.
SANITIZED = os.environ.get("HEADRACE_SANITIZED") == "1"


def rss_anon(pid):
    """Bytes of its own memory; none when it is gone. (Shared memory does not count here, nor does code.)"""
    if SANITIZED:
        return 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def n_fds(pid):
    """Descriptors, but for other members' bells: those are opened at the first message and kept, one for each slot."""
    n = 0
    try:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                n += "/bell." not in os.readlink(fd)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return n


class MemoryWatch:
    """`with MemoryWatch(pids) as watch:` samples RssAnon; `watch.growth()` is each one's peak over its beginning."""

    def __init__(self, pids):
        self.before = {pid: rss_anon(pid) for pid in pids}
        self.peak = dict(self.before)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._sample()

    def _watch(self):
        while not self._stop.wait(0.02):
            self._sample()

    def _sample(self):
        for pid in self.peak:
            self.peak[pid] = max(self.peak[pid], rss_anon(pid))

    def growth(self):
        return {pid: self.peak[pid] - self.before[pid] for pid in self.peak}

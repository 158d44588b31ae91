"""Signals that the guide for 3 a.m. speaks of and no other file here tries."""

import os
import signal
import socket
from pathlib import Path

from support.headrace import PATIENCE, wait_until


def ask(s, path, method="GET"):
    sock = socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE)
    sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    return sock


def answer(sock):
    with sock:
        got = b""
        while piece := sock.recv(65536):
            got += piece
        return got.decode("latin-1")


def has_open(pid, path):
    """But as its standard output, which is ours to give."""
    links = [Path(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd") if int(name) > 2]
    return any(link.is_symlink() and os.readlink(link) == str(path) for link in links)


def test_usr1_has_every_process_write_to_a_new_log_and_none_to_the_old(site, tmp_path):
    log, old = tmp_path / "site.log", tmp_path / "site.log.1"
    s = site("-w", 2, "--server-processes", 2, "--log-file", log)
    s.log_path = log
    with s:
        log.rename(old)
        s.kill(s.process.pid, signal.SIGUSR1)
        pids = [s.process.pid, *s.children()]
        wait_until(lambda: not any(has_open(pid, old) for pid in pids), "every process to have left the old log")
        for i in range(12):
            answer(ask(s, f"/version?{i}"))
            s.run("send", "jobs.do", f"what=job {i}")
        s.wait_for_output("job job", 12)
        assert len(s.requests()) == 12
        text = old.read_text()
        assert '"request"' not in text and "job job" not in text
        s.kill_workers()
        wait_until(lambda: len(s.events("worker_died")) == 2, "the supervisor's lines")
        assert old.read_text() == text
        s.wait_for_workers("web", 2)


def test_a_worker_that_is_asked_to_end_finishes_what_it_holds_and_is_replaced(site):
    with site("-w", 1) as s:
        (victim,) = s.ready()
        slow = ask(s, "/slow?ms=600", "POST")  # which nobody would try again
        wait_until(lambda: s.pool("web")["busy"] == 1, "it to be busy")
        s.kill(victim, signal.SIGTERM)
        assert answer(slow).startswith("HTTP/1.1 200")
        s.wait_for_workers("web", 1, without=[victim])
        assert answer(ask(s, "/version")).startswith("HTTP/1.1 200")

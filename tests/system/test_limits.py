"""Limits: what each stops, and that it stops no more than that."""

import re
import signal
import socket
import time

import pytest

from support.headrace import PATIENCE, read_proc, wait_until


def connect(s):
    return socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE)


def receive_all(sock):
    got = b""
    while piece := sock.recv(65536):
        got += piece
    return got


def ask(s, path="/version"):
    with connect(s) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        return receive_all(sock)


def cpu_seconds(pid):
    fields = read_proc(pid, "stat")
    at = next(i for i, word in enumerate(fields) if word.endswith(")"))
    return (int(fields[at + 12]) + int(fields[at + 13])) / 100


@pytest.mark.parametrize(
    "option, sent, status",
    [
        ("--head-timeout", b"GET / HTTP/1.1\r\nHost: h\r\n", b"408"),
        ("--body-timeout", b"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx", b"408"),
        ("--keep-alive", b"", b""),
    ],
)
def test_who_sends_nothing_more_is_cut_in_time(site, option, sent, status):
    with site(option, "300ms") as s, connect(s) as sock:
        if option == "--keep-alive":
            sock.sendall(b"GET /version HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b"version 1" in sock.recv(65536)
        sock.sendall(sent)
        began = time.monotonic()
        got = receive_all(sock)
        assert 0.25 < time.monotonic() - began < 2
        assert got.startswith(b"HTTP/1.1 " + status) if status else got == b""


@pytest.mark.parametrize(
    "option, request_head, status",
    [
        (("--max-head", "1KiB"), "GET / HTTP/1.1\r\nHost: h\r\nX: " + "x" * 2000, b"431"),
        (("--max-headers", "5"), "GET / HTTP/1.1\r\nHost: h" + "\r\nX: x" * 6, b"431"),
        (("--max-target", "256"), "GET /" + "x" * 300 + " HTTP/1.1\r\nHost: h", b"414"),
    ],
)
def test_heads_over_a_limit_have_their_status(site, option, request_head, status):
    with site(*option) as s, connect(s) as sock:
        sock.sendall(request_head.encode() + b"\r\n\r\n")
        assert receive_all(sock).startswith(b"HTTP/1.1 " + status)


def test_at_the_connection_limit_accepting_pauses_and_goes_on_without_spinning(site):
    with site("--server-processes", 1, "--max-connections", 20, "--keep-alive", "60s") as s:
        (server,) = s.pids("server")
        held = [connect(s) for _ in range(30)]
        wait_until(lambda: s.status()["connections"]["http"] == 20, "20 connections")
        before = cpu_seconds(server)
        time.sleep(1)  # in which it must not spin
        assert cpu_seconds(server) - before < 0.2
        assert s.status()["connections"]["http"] == 20
        for sock in held[:15]:
            sock.close()
        assert ask(s).endswith(b"version 1\n")
        for sock in held:
            sock.close()


def test_a_worker_that_was_stopped_is_replaced_as_a_hung_one_is(site):
    """SIGSTOP: it cannot even be asked to end."""
    with site("-w", 1, "--pool", "web.timeout=300ms", "--pool", "web.drain=300ms") as s, connect(s) as sock:
        victim = s.ready()[0]
        sock.sendall(b"GET /slow?ms=60000&tag=one HTTP/1.1\r\nHost: h\r\n\r\n")
        s.wait_for_output("taken one")
        s.kill(victim, signal.SIGSTOP)
        assert sock.recv(65536).startswith(b"HTTP/1.1 504")
        s.wait_for_workers("web", 1, without=[victim])
        assert ask(s).endswith(b"version 1\n")


def test_an_idle_site_sleeps(site):
    with site("-w", 2, "--server-processes", 2) as s:
        assert ask(s).endswith(b"version 1\n")
        pids = [s.process.pid, *s.children()]
        before = {pid: cpu_seconds(pid) for pid in pids}
        time.sleep(2)  # of idleness
        used = {pid: round(cpu_seconds(pid) - before[pid], 2) for pid in pids}
        print("cpu seconds in 2 s of idleness:", used)
        assert max(used.values()) <= 0.04


@pytest.mark.parametrize("path", ["/forget", "/forget?fail=1", "/hand?what=forget&ms=5000"])
def test_an_application_that_gives_no_answer_is_500(site, path):
    with site("--expose-reason", "--pool", "jobs.channels=jobs.*") as s:
        answer = ask(s, path)
        assert answer.startswith(b"HTTP/1.1 500") and b"\r\nx-headrace-reason: app\r\n" in answer
        assert s.events("app"), "the log says so"
        line = wait_until(lambda: s.requests(status=500), "its line")[0]
        assert (line["path"], line["reason"]) == (path.split("?")[0], "app")


def test_every_refusal_has_a_reason_in_the_log(site):
    with site("--max-target", 256) as s:
        with connect(s) as sock:
            sock.sendall(b"GET /" + b"x" * 300 + b" HTTP/1.1\r\nHost: h\r\n\r\n")
            receive_all(sock)
        line = wait_until(lambda: s.requests(status=414), "its line")[0]
        assert line["reason"] == "limit"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])

"""Groups, requests that are handed on, and messages that outlive the processes."""

import contextlib
import os
import signal
import socket
import subprocess
import time

from websockets.sync.client import connect

from support.headrace import BUILD, PATIENCE, free_port, request, wait_until
from support.memory import MemoryWatch

MIB = 1 << 20
JOBS = "[pool web]\nprocesses = 1\n[pool jobs]\nchannels = jobs.*\nprocesses = 1\ntimeout = 5s\n"


def open_ws(s, **options):
    return connect(f"ws://127.0.0.1:{s.port}/ws", compression=None, max_size=None, open_timeout=PATIENCE, **options)


def jobs_site(site, tmp_path, more=""):
    config = tmp_path / "jobs.ini"
    config.write_text(JOBS + more)
    return site("-c", config, "--expose-reason")


# ---- groups


def test_a_group_reaches_its_members_on_every_server_and_survives_every_worker(site):
    with site("-w", 2, "--server-processes", 2) as s, contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(open_ws(s)) for _ in range(8)]
        for ws in sockets:
            ws.send("join room")
            assert int(ws.recv(PATIENCE)) > 0
        victims = s.kill_workers()
        s.wait_for_workers("web", 2, without=victims)
        s.run("group", "send", "room", "text=hello all")
        assert [ws.recv(PATIENCE) for ws in sockets] == ["hello all"] * 8
        assert s.run("group", "count", "room").stdout == "8\n"
        sockets.pop().close()
        wait_until(lambda: s.run("group", "count", "room").stdout == "7\n", "the count to follow who leaves")
        for ws in sockets:
            ws.close()
        wait_until(lambda: s.run("group", "count", "room").stdout == "0\n", "an empty group")


def test_members_of_a_killed_server_have_left_their_groups(site):
    with site("-w", 1, "--server-processes", 2) as s, contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(open_ws(s)) for _ in range(12)]
        for ws in sockets:
            ws.send("join room")
            ws.recv(PATIENCE)
        victim = s.pids("server")[0]
        s.kill(victim)
        open_ones = []
        for ws in sockets:
            try:
                ws.send("still here")
                assert ws.recv(PATIENCE) == "still here"
                open_ones.append(ws)
            except Exception:  # reset, in one of its forms
                continue
        assert 0 < len(open_ones) < 12
        wait_until(lambda: s.run("group", "count", "room").stdout == f"{len(open_ones)}\n", "the others to count")
        s.run("group", "send", "room", "text=you")
        assert [ws.recv(PATIENCE) for ws in open_ones] == ["you"] * len(open_ones)


def test_a_member_that_does_not_read_costs_no_memory_and_the_others_get_everything(site):
    with site("-w", 1, "--server-processes", 1) as s, open_ws(s) as reader, open_ws(s) as sender:
        with socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            deaf.sendall(
                b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                + bytes([0x81, 0x8A, 0, 0, 0, 0]) + b"join flood"
            )
            wait_until(lambda: s.run("group", "count", "flood").stdout == "1\n", "it to have joined")
            reader.send("join flood")
            reader.recv(PATIENCE)
            with MemoryWatch(s.pids("server")) as watch:
                for _ in range(40):
                    sender.send("flood 8")
                    assert sender.recv(PATIENCE) == "flooded"
                    for _ in range(8):
                        assert len(reader.recv(PATIENCE)) == 65536
            print("growth", watch.growth(), s.channel("websocket.send"))
            assert max(watch.growth().values()) < 4 * MIB
            assert s.channel("websocket.send")["dropped"].get("limit", 0) > 100, "what it did not read is counted"


def test_with_slow_reader_close_who_does_not_read_is_closed_and_the_log_says_why(site):
    options = ("--server-processes", 1, "--window", "64KiB", "--slow-reader", "close", "--slow-timeout", "300ms")
    with site(*options, "--close-timeout", "300ms") as s, socket.socket() as deaf, open_ws(s) as sender:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", s.port))
        deaf.sendall(
            b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            + bytes([0x81, 0x8A, 0, 0, 0, 0]) + b"join flood"
        )
        wait_until(lambda: s.run("group", "count", "flood").stdout == "1\n", "it to have joined")

        def is_closed():
            sender.send("flood 8")
            assert sender.recv(PATIENCE) == "flooded"
            return s.status()["connections"]["websocket"] == 1

        wait_until(is_closed, "only the sender to be left")
        line = wait_until(lambda: s.events("websocket", status=1013), "its line")[0]
        assert line["reason"] == "limit"
        assert s.events("refused", reason="limit", path="/ws")
        assert s.channel("websocket.send")["dropped"] == {"limit": 1}


# ---- handing on


def test_a_request_that_was_handed_on_is_answered_by_the_other_pool(site, tmp_path):
    with jobs_site(site, tmp_path) as s:
        for method in ("GET", "POST"):
            assert "\r\n\r\njobs " in request(s, method, "/hand?what=answer")


def test_the_web_worker_is_free_while_the_other_pool_computes(site, tmp_path):
    with jobs_site(site, tmp_path) as s, socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        sock.sendall(b"GET /hand?what=block HTTP/1.1\r\nHost: h\r\n\r\n")
        s.wait_for_output("job block")
        began = time.monotonic()
        assert request(s, "GET", "/version").endswith("version 1\n")
        assert time.monotonic() - began < 1
        assert b"jobs " in sock.recv(65536)


def test_a_request_that_was_handed_on_gets_an_answer_whatever_becomes_of_it(site, tmp_path):
    with jobs_site(site, tmp_path) as s:
        began = time.monotonic()
        for method in ("GET", "POST"):
            died = request(s, method, "/hand?what=die")
            assert died.startswith("HTTP/1.1 502") and "worker_died" in died
        assert time.monotonic() - began < 2, "no timeout was waited for"
        s.wait_for_workers("jobs", 1)
        forgotten = request(s, "GET", "/hand?what=forget")
        assert forgotten.startswith("HTTP/1.1 500")
        s.kill(s.pids("worker", "jobs")[0], signal.SIGSTOP)
        began = time.monotonic()
        late = request(s, "GET", "/hand?what=answer&ms=400")
        assert late.startswith("HTTP/1.1 504") and 0.35 < time.monotonic() - began < 1.5
        s.kill(s.pids("worker", "jobs")[0], signal.SIGCONT)
        assert "\r\n\r\njobs " in request(s, "GET", "/hand?what=answer")


# ---- what lies in the layer


def test_what_waits_in_a_channel_outlives_stop_and_start(site, tmp_path):
    with jobs_site(site, tmp_path, "[channel later.*]\ndelivery = at-least-once\n") as s:
        for i in range(3):
            s.run("send", "later.work", f"n={i}")
        assert s.channel("later.work")["waiting"] == 3
        s.stop()
        assert s.channel("later.work")["waiting"] == 3, "status reads it when all is dead"
        s.start()
        assert s.channel("later.work")["waiting"] == 3
        s.run("flush", "later.work")
        assert s.channel("later.work")["dropped"] == {"flushed": 3}


def test_a_server_without_any_pool_answers_503_no_worker(tmp_path):
    """And the halves find each other: then it is answered."""
    port, layer = free_port(), f"ipc:{tmp_path}/layer"
    base = [str(BUILD / "headrace"), "serve", "--layer", layer, "--port", str(port), "--expose-reason"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    with (tmp_path / "log").open("wb") as log:
        serve = subprocess.Popen([*base, "--queue-timeout", "300ms"], cwd=tmp_path, env=env, stdout=log, stderr=log)
    halves = [serve]
    try:
        wait_until(lambda: '"start"' in (tmp_path / "log").read_text(), "the server")
        serve.port = port
        got = request(serve, "GET", "/version")
        assert got.startswith("HTTP/1.1 503") and "no_worker" in got
        app = BUILD / "tests" / "system" / "probe.so"
        halves.append(subprocess.Popen([str(BUILD / "headrace"), "work", app, "--layer", layer], cwd=tmp_path, env=env))
        wait_until(lambda: request(serve, "GET", "/version").endswith("version 1\n"), "the worker to answer")
    finally:
        for half in halves:
            half.terminate()
            assert half.wait(PATIENCE) == 0

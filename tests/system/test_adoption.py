"""The listening sockets of a dead interface server are accepted on by those that live."""

import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from websockets.sync.client import connect

from support.headrace import PATIENCE, wait_until

CLIENTS = 48  # of which the kernel gives each of three sockets about a third


def answered(port, patience=5):
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as sock:
        sock.sendall(b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        return sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def is_ready(s, pid):
    return any(member["pid"] == pid and member["ready"] for member in s.status()["members"])


def test_with_nobody_to_start_it_again_a_dead_servers_clients_are_served_by_others(site):
    with site("-w", 1, "--server-processes", 3) as s:
        s.process.kill()
        s.process.wait()
        members = s.status()["members"]
        servers = [m["pid"] for m in members if m["role"] == "server"]
        workers = [m["pid"] for m in members if m["role"] == "worker"]
        s.kill(servers[1])
        began = time.monotonic()
        assert all(answered(s.port) for _ in range(CLIENTS))
        assert time.monotonic() - began < 3, "a connection waits a tenth of a second at most, until the death is seen"
        for pid in servers + workers:
            s.kill(pid)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in servers + workers), "all to be gone")
        s.start()


def test_while_a_dead_server_is_started_again_nobody_waits_for_it(site):
    with site("-w", 1, "--server-processes", 2) as s:
        for _ in range(5):
            victim = s.pids("server")[0]
            s.kill(victim)
            began = time.monotonic()
            assert all(answered(s.port) for _ in range(12))
            assert time.monotonic() - began < 3
            wait_until(lambda: len(s.pids("server")) == 2 and victim not in s.pids("server"), "another in its place")


def test_a_server_that_drains_leaves_its_sockets_to_the_others(site):
    with site("-w", 1, "--server-processes", 2, "--drain", "20s") as s, ExitStack() as sockets:
        victim = s.pids("server")[0]
        for _ in range(16):
            sockets.enter_context(connect(f"ws://127.0.0.1:{s.port}/ws", compression=None))
        s.kill(victim, signal.SIGTERM)
        wait_until(lambda: not is_ready(s, victim), "it to say that it does not accept any more")
        began = time.monotonic()
        assert all(answered(s.port) for _ in range(CLIENTS))
        assert time.monotonic() - began < 3
        assert victim in s.children(), "it still has sockets to close, spread over its time"
        sockets.close()
        wait_until(lambda: victim not in s.children(), "it to end")


def test_a_server_that_was_stopped_is_not_dead_and_its_clients_wait_for_it(site):
    with site("-w", 1, "--server-processes", 2) as s:
        victim = s.pids("server")[0]
        s.kill(victim, signal.SIGSTOP)
        clients = []
        for _ in range(CLIENTS):
            clients.append(socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE))
            clients[-1].sendall(b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        for sock in clients:
            sock.setblocking(False)

        def is_answered(sock):
            try:
                return sock.recv(64, socket.MSG_PEEK).startswith(b"HTTP/1.1 200")
            except BlockingIOError:
                return False

        wait_until(lambda: any(map(is_answered, clients)), "those of the other one to be answered")
        assert not all(map(is_answered, clients)), "the kernel gives each server its part"
        assert victim in s.pids("server"), "nobody takes a stopped one for dead"
        s.kill(victim, signal.SIGCONT)
        wait_until(lambda: all(map(is_answered, clients)), "all to be answered")
        for sock in clients:
            sock.close()

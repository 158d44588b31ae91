"""The listening sockets of a dead interface server are accepted on by those that live."""

import socket
import time
from pathlib import Path

from support.headrace import wait_until

CLIENTS = 48  # of which the kernel gives each of three sockets about a third


def answered(port, patience=5):
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as sock:
        sock.sendall(b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        return sock.recv(65536).startswith(b"HTTP/1.1 200 ")


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

"""A supervisor is killed, its processes go on, and the next `run` takes them over: no request fails, no socket drops."""

import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from websockets.sync.client import connect

from support.headrace import PATIENCE, free_port, read_proc, wait_until
from support.load import Load


def kill_supervisor(s):
    s.process.kill()
    s.process.wait()


def members(s, role):
    """Pids of those that take work, by label."""
    return {m["label"]: m["pid"] for m in s.status()["members"] if m["role"] == role and m["ready"]}


def is_gone(pid):
    """A zombie is: whom they fell to need not have reaped it yet."""
    return not read_proc(pid, "cmdline")


def say(ws, text):
    ws.send(text)
    return ws.recv(PATIENCE)


def ask(address, path="/version"):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(address)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        return sock.recv(65536)


def test_the_next_run_takes_over_what_serves_under_load(site):
    with site("-w", 2, "--server-processes", 2) as s, ExitStack() as stack:
        sockets = [stack.enter_context(connect(f"ws://127.0.0.1:{s.port}/ws", compression=None)) for _ in range(8)]
        servers, workers = members(s, "server"), members(s, "worker")
        with Load(s.port, ["GET /version", "POST /echo"], n_clients=4) as load:
            for round_ in range(2):  # whoever took over can be killed as well
                kill_supervisor(s)
                assert all(say(ws, f"orphan {round_}") == f"orphan {round_}" for ws in sockets)
                s.start()
                wait_until(lambda: not workers.items() & members(s, "worker").items(), "workers of the new supervisor")
                s.wait_for_workers("web", 2, without=workers.values())
                assert members(s, "server") == servers, "which hold the connections"
                workers = members(s, "worker")
            victim = workers["web.1"]
            s.kill(victim, signal.SIGTERM)
            wait_until(lambda: members(s, "worker").get("web.1", victim) != victim, "another worker in its place")
            s.run("reload", "--wait")
            assert all(say(ws, "still here") == "still here" for ws in sockets)
        assert load.results
        assert [r for r in load.results if r.status != 200] == []
        pids = [*members(s, "server").values(), *members(s, "worker").values()]
        stack.close()
        assert s.stop() == 0
        assert all(map(is_gone, pids)), "TERM ends those that were taken over too"
        s.is_over = True


def test_a_server_that_was_taken_over_and_dies_is_started_again_on_its_sockets(site, tmp_path):
    path = f"{tmp_path}/up.sock"
    with site("-w", 1, "--server-processes", 2, "--bind", f"unix:{path}") as s:
        kill_supervisor(s)
        s.start()
        s.fds = {}
        for label, pid in members(s, "server").items():
            s.kill(pid)
            wait_until(lambda: members(s, "server").get(label, pid) != pid, "another server in its place")
            assert s.events("server_died", worker=label, reason="unknown")
        assert len(s.pids("server")) == 2, "children of the new supervisor now"
        for address in [("127.0.0.1", s.port)] * 12 + [path] * 4:
            assert ask(address).startswith(b"HTTP/1.1 200")
        s.fds = {}
    assert not Path(path).exists()


def test_workers_come_to_the_new_settings_and_addresses_stay(site):
    with site("-w", 3, "--server-processes", 1, "--pool", "jobs.channels=jobs.*") as s:
        before = members(s, "worker")
        assert {"web.3", "jobs.1"} <= set(before)
        kill_supervisor(s)
        port = free_port()
        command = s.command
        s.command = [*command[: command.index("-w")], "-w", "1", "--server-processes", "1", "--bind", f"127.0.0.1:{port}"]
        s.start()
        s.fds = {}
        wait_until(lambda: list(members(s, "worker")) == ["web.1"], "one worker")
        assert ask(("127.0.0.1", s.port)).startswith(b"HTTP/1.1 200")
        wait_until(lambda: all(map(is_gone, before.values())), "the others to have left")
        assert s.events("config", key="server.bind", address=f"127.0.0.1:{port}")


def test_a_worker_that_was_being_started_when_its_supervisor_died_is_not_forgotten(site):
    with site("-w", 1, "--server-processes", 1) as s:
        kill_supervisor(s)
        s.start()
        s.fds = {}
        child_of_the_dead = [s.command[0], "work", s.command[2], "--as", "web.1", "--name", "test", "--layer", s.layer]
        with subprocess.Popen(child_of_the_dead, cwd=s.directory, env=s.env, stderr=subprocess.DEVNULL) as late:
            try:
                assert late.wait(PATIENCE) in (0, -signal.SIGTERM), "its seat is taken: it is asked to leave"
            finally:
                late.kill()
        assert len(s.ready()) == 1


def test_without_servers_the_workers_are_taken_over_and_the_port_opened_anew(site):
    with site("-w", 1, "--server-processes", 1) as s:
        kill_supervisor(s)
        (pid,) = members(s, "server").values()
        s.kill(pid)
        wait_until(lambda: is_gone(pid), "it to be gone")
        s.start()
        s.fds = {}
        assert ask(("127.0.0.1", s.port)).startswith(b"HTTP/1.1 200")


def test_a_server_that_cannot_hand_over_is_named(site):
    with site("-w", 1, "--server-processes", 1) as s:
        kill_supervisor(s)
        (pid,) = members(s, "server").values()
        s.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        refused = s.run_again()
        assert refused.returncode == 6 and "hands over" in refused.stderr
        assert time.monotonic() - began < 20
        s.kill(pid, signal.SIGCONT)
        s.start()
        s.fds = {}
        assert ask(("127.0.0.1", s.port)).startswith(b"HTTP/1.1 200")

"""Processes are killed, and what was promised of each death holds: with figures, under load, counted exactly."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect

from support.headrace import PATIENCE, request, wait_until
from support.load import Load, Sockets, wait_for_death
from support.memory import n_fds

SOON = 0.1  # seconds from a death to its 502


def open_ws(s, path="/ws"):
    return connect(f"ws://127.0.0.1:{s.port}{path}", compression=None, open_timeout=PATIENCE)


def kill_and_wait(pid):
    """When it was dead."""
    pidfd = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        return wait_for_death(pidfd)
    finally:
        os.close(pidfd)


def client_ports(pid, port):
    """The clients' ports of the connections to `port` that a process holds."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(fd)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[9] in inodes and int(words[1].split(":")[1], 16) == port and words[3] == "01":
            ports.add(int(words[2].split(":")[1], 16))
    return ports


# ---- a worker


def test_gets_of_a_killed_worker_are_answered_elsewhere_and_posts_are_502_within_100_ms(site):
    with site("-w", 2, "--expose-reason") as s:
        deaths = []
        with Load(s.port, ["GET /slow?ms=15", "POST /slow?ms=15"], n_clients=8, pause=0.015) as load:
            load.wait_for_more(50)
            for _ in range(6):
                victim = s.ready()[0]
                deaths.append(kill_and_wait(victim))
                s.wait_for_workers("web", 2, without=[victim])
                load.wait_for_more(30)
        failed = load.of(502)
        delays = [min(r.ended - death for death in deaths if r.ended >= death - 0.01) for r in failed]
        print("answers", load.count(), "502 after", [round(delay * 1000, 1) for delay in delays], "ms; own lag",
              round(load.lag * 1000, 1))
        assert set(load.count()) == {200, 502}
        assert {r.method for r in failed} == {"POST"} and {r.reason for r in failed} == {"worker_died"}
        assert max(delays) < SOON + load.lag


def test_sockets_stay_and_lose_no_message_while_all_workers_are_killed_again_and_again(site):
    with site("-w", 2) as s:
        with Sockets(s.port, n=12, message="count 4", pause=0.002) as sockets:  # some are in hand at each death
            for _ in range(4):
                victims = s.kill_workers()
                s.wait_for_workers("web", 2, without=victims)
                sockets.wait_for_more(3)
        sockets.assert_none_dropped()
        sockets.assert_none_lost()


def test_a_get_that_kills_its_worker_is_tried_once_more_and_only_once(site, tmp_path):
    with site("-w", 2, "--expose-reason") as s:
        assert request(s, "GET", f"/die?once={tmp_path}/a").endswith("survived\n")
        got = request(s, "GET", "/die")
        assert got.startswith("HTTP/1.1 502") and "worker_died" in got
        wait_until(lambda: len(s.events("worker_died")) == 3, "three deaths")
        s.wait_for_workers("web", 2)


def test_a_post_is_never_tried_again(site, tmp_path):
    with site("-w", 2, "--expose-reason") as s:
        got = request(s, "POST", f"/die?once={tmp_path}/a")
        assert got.startswith("HTTP/1.1 502") and "worker_died" in got
        wait_until(lambda: len(s.events("worker_died")) == 1, "deaths in the log: 1")
        s.wait_for_workers("web", 2)


def test_retry_never_makes_a_get_502_too(site, tmp_path):
    with site("-w", 2, "--pool", "web.retry=never") as s:
        assert request(s, "GET", f"/die?once={tmp_path}/a").startswith("HTTP/1.1 502")
        s.wait_for_workers("web", 2)


def test_an_answer_that_was_begun_is_cut_and_not_ended(site):
    """A client must be able to tell: no last chunk."""
    with site("-w", 1) as s, socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        sock.sendall(b"GET /download?bytes=100000000 HTTP/1.1\r\nHost: h\r\n\r\n")
        got = sock.recv(65536)
        assert got.startswith(b"HTTP/1.1 200")
        s.kill_workers()
        tail = b""
        try:
            while piece := sock.recv(65536):
                tail = (tail + piece)[-16:]
        except ConnectionResetError:
            pass
        assert not tail.endswith(b"0\r\n\r\n")
        wait_until(lambda: s.ready(), "a new worker")


def test_an_upload_whose_worker_dies_is_answered_at_once(site):
    """502 while its client still sends; nothing of it stays behind."""
    with site("-w", 1) as s, socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        sock.sendall(b"POST /upload?tag=one HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 1000000)
        s.wait_for_output("taken one")
        death = kill_and_wait(s.ready()[0])
        assert sock.recv(65536).startswith(b"HTTP/1.1 502")
        print("502 after", round((time.monotonic() - death) * 1000), "ms")
        assert time.monotonic() - death < 1
        wait_until(lambda: s.ready(), "a new worker")


# ---- a WebSocket event in hand


def test_an_event_whose_worker_died_is_redelivered_once_and_the_socket_stays(site, tmp_path):
    with site("-w", 2) as s, open_ws(s) as ws:
        ws.send("count")
        assert ws.recv(PATIENCE) == "1"
        ws.send(f"die once {tmp_path}/a")
        assert ws.recv(PATIENCE) == "survived"
        ws.send("count")
        assert ws.recv(PATIENCE) == "3", "state goes on"
        wait_until(lambda: len(s.events("worker_died")) == 1, "deaths in the log: 1")
        assert (s.pool("web")["redelivered"], s.pool("web")["lost"]) == (1, 0)


def test_an_event_that_kills_twice_is_counted_and_the_socket_stays(site):
    with site("-w", 2) as s, open_ws(s) as ws:
        ws.send("abort")
        ws.send("count")
        assert ws.recv(PATIENCE) == "1", "the state of the event that was lost is not there"
        wait_until(lambda: len(s.events("worker_died")) == 2, "deaths in the log: 2")
        assert s.channel("websocket.receive.web")["dropped"] == {"worker_died": 1}
        assert (s.pool("web")["redelivered"], s.pool("web")["lost"]) == (1, 1)
        fates = {line["text"].rpartition("; ")[2] for line in s.events("worker_died")}
        assert fates == {"the event is redelivered", "the event is lost and counted"}


def test_on_crash_count_delivers_no_event_again(site, tmp_path):
    with site("-w", 2, "--pool", "web.on_crash=count") as s, open_ws(s) as ws:
        ws.send(f"die once {tmp_path}/a")
        ws.send("still here")
        assert ws.recv(PATIENCE) == "still here"
        wait_until(lambda: len(s.events("worker_died")) == 1, "deaths in the log: 1")
        assert s.channel("websocket.receive.web")["dropped"] == {"worker_died": 1}


def test_an_event_that_hangs_is_counted_its_worker_replaced_and_the_socket_stays(site):
    with site("-w", 1, "--pool", "web.event_timeout=300ms", "--pool", "web.drain=300ms") as s, open_ws(s) as ws:
        old = s.ready()
        ws.send("block 60000")
        ws.send("next")
        assert ws.recv(PATIENCE) == "next"
        assert s.channel("websocket.receive.web")["dropped"] == {"timeout": 1}
        wait_until(lambda: len(s.ready()) == 1 and s.ready() != old, "the old one to be gone")


# ---- an interface server


def test_a_killed_server_resets_its_clients_only_and_is_back_within_a_second(site):
    with site("-w", 2, "--server-processes", 2) as s:
        with Load(s.port, ["GET /version"], n_clients=24, pause=0.01) as load:
            load.wait_for_more(100)
            victim, other = s.pids("server")
            theirs = client_ports(victim, s.port)
            others = client_ports(other, s.port)
            assert theirs and others and not theirs & others
            death = kill_and_wait(victim)
            wait_until(lambda: len(ready_servers(s)) == 2 and victim not in ready_servers(s), "a new server")
            back = time.monotonic() - death
            load.wait_for_more(200)
        print("back after", round(back * 1000), "ms;", load.count(), "of", len(theirs), "connections reset")
        assert back < 1
        broken = [r for r in load.results if r.error]
        assert {r.port for r in broken} == theirs
        assert len(broken) == len(theirs), "each client was reset once and reconnected at once"
        assert set(load.count()) - {r.error for r in broken} == {200}


def ready_servers(s):
    return [m["pid"] for m in s.status()["members"] if m["role"] == "server" and m["ready"]]


def test_sockets_of_the_other_server_do_not_notice(site):
    with site("-w", 2, "--server-processes", 2) as s:
        with Sockets(s.port, n=24) as sockets:
            sockets.wait_for_more(2)
            victim, other = s.pids("server")
            n_theirs = len(client_ports(victim, s.port))
            assert 0 < n_theirs < 24
            kill_and_wait(victim)
            sockets.wait_for_more(5)
            kept = [sock for sock in sockets.sockets if not sock.closed]
            assert len(kept) == 24 - n_theirs
            wait_until(lambda: len(ready_servers(s)) == 2, "a new server")
        assert all(sock.answers == list(range(1, sock.sent + 1)) for sock in kept)


# ---- the supervisor


def test_without_its_supervisor_everything_serves_on_and_the_next_takes_over(site):
    with site("-w", 2) as s:
        with Load(s.port, ["GET /version"]) as load, Sockets(s.port) as sockets:
            s.process.kill()
            s.process.wait()
            load.wait_for_more(100)
            sockets.wait_for_more(3)
            s.start()
            load.wait_for_more(50)
            sockets.wait_for_more(3)
        assert set(load.count()) == {200}
        sockets.assert_none_dropped()
        sockets.assert_each_handled_once()
        assert s.run_again().returncode == 6, "it runs already"


# ---- nobody


def test_ten_seconds_without_workers_drop_no_socket_and_every_request_ends(site):
    """What a POST in hand at the death becomes is another test's; here they come when nobody is there."""
    options = ("-w", 2, "--pool", "web.queue_timeout=3s", "--expose-reason")
    with site(*options) as s:
        posts = Load(s.port, ["POST /slow?ms=5"], n_clients=6)
        with Load(s.port, ["GET /slow?ms=5"], n_clients=6) as gets, Sockets(s.port) as sockets:
            gets.wait_for_more(50)
            answered = [len(sock.answers) for sock in sockets.sockets]
            s.kill(s.process.pid, signal.SIGSTOP)  # nobody restarts what dies
            try:
                s.kill_workers(number=signal.SIGSTOP)  # or one may take what another leaves, and die with it
                s.kill_workers()
                began = time.monotonic()
                with posts:
                    time.sleep(10)  # is what is tested
                    in_the_dark = [r for r in gets.results + posts.results if began + 0.5 < r.ended]
                    s.kill(s.process.pid, signal.SIGCONT)
                    back = time.monotonic()
                    posts.wait_for_more(1)
                    back = time.monotonic() - back
                    posts.wait_for_more(50)
            finally:
                s.kill(s.process.pid, signal.SIGCONT)
            gets.wait_for_more(50)
            sockets.wait_for_more(3)
        print(gets.count(), posts.count(), "in the dark", len(in_the_dark), "first answer after", round(back, 3), "s")
        assert set(gets.count()) | set(posts.count()) <= {200, 503, 504}
        assert in_the_dark and {r.status for r in in_the_dark} == {503}
        assert {r.reason for r in in_the_dark} == {"queue_timeout"}
        assert all(2.9 < r.ended - r.began < 4 for r in in_the_dark)
        sockets.assert_none_dropped()
        sockets.assert_none_lost()
        assert all(len(sock.answers) > n for sock, n in zip(sockets.sockets, answered))
        assert s.pool("web")["refused_reason"] == "queue_timeout" and "queue_timeout" in s.run("status").stdout


def test_a_pool_scaled_to_nothing_and_back_keeps_its_sockets_and_requests(site, tmp_path):
    config = tmp_path / "scaled.ini"
    config.write_text("[pool web]\nprocesses = 2\n")
    with site("-c", config) as s:
        with Load(s.port, ["GET /version", "POST /version"]) as load, Sockets(s.port) as sockets:
            load.wait_for_more(50)
            config.write_text("[pool web]\nprocesses = 0\n")
            s.run("reload", "--wait")
            wait_until(lambda: not s.ready(), "no worker")
            wait_until(lambda: s.channel("http.request.web")["waiting"] > 0, "requests to wait")
            config.write_text("[pool web]\nprocesses = 2\n")
            s.run("reload", "--wait")
            load.wait_for_more(50)
            sockets.wait_for_more(3)
        assert set(load.count()) == {200}
        sockets.assert_none_dropped()
        sockets.assert_each_handled_once()


# ---- all of it


def test_all_servers_and_workers_at_once_come_back_and_leave_nothing_behind(site):
    with site("-w", 2, "--server-processes", 2) as s:
        with Load(s.port, ["GET /slow?ms=3", "POST /echo"], n_clients=12, pause=0.002) as load:
            load.wait_for_more(100)
            for _ in range(3):
                victims = s.pids("server") + s.pids("worker")
                for pid in victims:
                    s.kill(pid)
                s.wait_for_workers("web", 2, without=victims)
                load.wait_for_more(50)
        assert set(load.count()) <= {200, 502, "ConnectionResetError", "IncompleteReadError", "ConnectionRefusedError"}
        s.fds = {}  # they are others now


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_the_log_names_what_killed_a_worker(site, number):
    with site("-w", 1) as s:
        victim = s.ready()[0]
        s.kill(victim, number)
        s.wait_for_workers("web", 1, without=[victim])
        died = s.events("worker_died", pid=victim)[0]
        wait_until(lambda: s.events("recovered", members=1, total=1), "the layer's recovery in the log")
        assert signal.Signals(number).name in died["reason"]


def test_a_thousand_connections_that_come_and_go_leave_no_descriptor(site):
    with site("--server-processes", 1) as s:
        (server,) = s.pids("server")
        request(s, "GET", "/version")
        before = n_fds(server)
        for _ in range(1000):
            with socket.create_connection(("127.0.0.1", s.port)) as sock:
                sock.sendall(b"GET /version HTTP/1.1\r\nHost: h\r\n\r\n")
        wait_until(lambda: n_fds(server) <= before + 4, "the descriptors to be closed")

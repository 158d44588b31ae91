"""While a site boots its clients wait for the workers; once it has booted, what nobody takes is 404 at once."""

import socket
import threading
import time

import pytest

from support.headrace import BUILD, PATIENCE, Headrace, wait_until

APPS = BUILD / "tests" / "system"
SETTINGS = f"""
[headrace]
app = {APPS / "probe.so"}
[pool web]
paths = /version, http:/pid
processes = 1
[pool slow]
app = {APPS / "slow.so"}
paths = /slow/
processes = 1
"""


class Booting(Headrace):
    """Serves as soon as the pool `web` and the servers do."""

    def _is_serving(self):
        assert self.process.poll() is None, self.log()
        ready = {line["worker"] for line in self.events("worker_ready")}
        return {"server.1", "web.1"} <= ready


@pytest.fixture
def booting(tmp_path):
    (tmp_path / "headrace.ini").write_text(SETTINGS)
    go = {"GO": str(tmp_path / "go")}
    with Booting(tmp_path, APPS / "probe.so", "--server-processes", 1, env=go) as site:
        yield site
        (tmp_path / "go").touch()  # or TERM would wait for it


def get(s, path):
    """Status and body."""
    with socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while piece := sock.recv(65536):
            got += piece
        return int(got.split()[1]), got.rpartition(b"\r\n\r\n")[2].decode()


def test_requests_for_a_pool_that_boots_wait_for_it(booting, tmp_path):
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(get(booting, "/slow/one")))
    assert get(booting, "/version")[0] == 200
    waiting.start()
    assert get(booting, "/unknown")[0] == 404, "what no pool takes need not wait for any"
    wait_until(lambda: booting.status()["connections"]["http"] == 1, "the request to be there")
    assert not answers
    (tmp_path / "go").touch()
    waiting.join(PATIENCE)
    assert answers == [(200, "at last\n")]
    began = time.monotonic()
    assert get(booting, "/slower")[0] == 404
    assert time.monotonic() - began < 5
    assert not [line for line in booting.events("config") if "no longer what they were" in line["text"]]


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_pools_of_an_earlier_run_are_forgotten(tmp_path, end):
    """Or their requests would wait for workers that never come."""
    (tmp_path / "headrace.ini").write_text(SETTINGS)
    site = Headrace(tmp_path, APPS / "probe.so")
    site.start()
    assert get(site, "/slow/x")[0] == 200
    if end == "stopped":
        assert site.stop() == 0
    else:
        for pid in (site.process.pid, *site.children()):
            site.kill(pid)
        site.process.wait(PATIENCE)
    (tmp_path / "headrace.ini").unlink()
    site.log_path.unlink()
    with site:
        assert get(site, "/slow/x")[0] == 404  # the probe's own
        assert [pool["name"] for pool in site.status()["pools"]] == ["web"]


def test_a_worker_that_dies_while_a_new_pool_boots_in_a_reload_is_replaced(booting, tmp_path):
    (tmp_path / "go").touch()
    wait_until(lambda: booting.events("start"), "the whole site")
    (tmp_path / "go").unlink()
    with (tmp_path / "headrace.ini").open("a") as settings:
        settings.write(f"[pool more]\napp = {APPS / 'slow.so'}\npaths = /more/\nprocesses = 1\n")
    booting.run("reload", "--pool", "more")
    wait_until(lambda: booting.events("worker_start", worker="more.1"), "the new pool's worker")
    victims = booting.kill_workers("web")
    booting.wait_for_workers("web", 1, without=victims)
    wait_until(lambda: booting.pool("web")["exits_1h"] == 1, "the supervisor's report")
    (tmp_path / "go").touch()
    wait_until(lambda: booting.events("reload"), "the reload")
    assert get(booting, "/more/x") == (200, "at last\n")

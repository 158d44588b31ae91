"""New code, new settings and the end, all under load."""

import os
import pty
import shutil
import signal
import socket
import subprocess
import time

import pytest
from websockets.sync.client import connect

from support.headrace import BUILD, PATIENCE, wait_until
from support.load import Load, Sockets

APPS = BUILD / "tests" / "system"


def deploy(app, directory):
    """As a deploy does: beside it, then in its place."""
    new = directory / "app.so.new"
    shutil.copy(APPS / f"{app}.so", new)
    new.rename(directory / "app.so")
    return directory / "app.so"


def ask(s, path="/version"):
    with socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while piece := sock.recv(65536):
            got += piece
        return got.decode("latin-1")


def assert_unharmed(load, sockets):
    assert set(load.count()) == {200}, load.count()
    sockets.assert_none_dropped()
    sockets.assert_each_handled_once()


@pytest.fixture
def app(tmp_path):
    return deploy("probe", tmp_path)


def test_reload_under_load_fails_no_request_and_drops_no_socket(site, app):
    with site("-w", 2, app=app) as s:
        requests = ["GET /version", "POST /slow?ms=20", "GET /slow?ms=150"]
        with Load(s.port, requests, n_clients=12) as load, Sockets(s.port, n=12) as sockets:
            load.wait_for_more(30)
            for version in ("probe2", "probe", "probe2"):
                deploy(version, app.parent)
                old = s.ready()
                began = time.monotonic()
                done = s.run("reload", "--wait")
                print("reloaded in", round(time.monotonic() - began, 2), "s:", done.stdout.strip())
                s.wait_for_workers("web", 2, without=old)
                load.wait_for_more(30)
                sockets.wait_for_more(3)
        assert_unharmed(load, sockets)
        assert ask(s).endswith("version 2\n")
        with connect(f"ws://127.0.0.1:{s.port}/ws") as ws:
            ws.send("version")
            assert ws.recv(PATIENCE) == "version 2"
        assert s.events("worker_died") == []
        print(load.count())


def test_workers_killed_in_the_middle_of_a_reload_do_no_harm(site, app):
    with site("-w", 3, app=app) as s:
        with Load(s.port, ["GET /version", "GET /slow?ms=10"], n_clients=8) as load, Sockets(s.port) as sockets:
            load.wait_for_more(20)
            for version in ("probe2", "probe", "probe2"):
                deploy(version, app.parent)
                s.kill(s.process.pid, signal.SIGHUP)
                for pid in s.pids("worker")[:2]:
                    s.kill(pid)
                load.wait_for_more(30)
            wait_until(lambda: all(ask(s).endswith("version 2\n") for _ in range(10)), "the last code everywhere")
            sockets.wait_for_more(3)
        assert set(load.count()) <= {200, 502}, load.count()  # 502: killed with two workers
        assert len(load.of(502)) <= 3
        sockets.assert_none_dropped()
        sockets.assert_none_lost()
        s.wait_for_workers("web", 3)


def test_hangup_reloads_too(site, app):
    with site("-w", 1, app=app) as s, Load(s.port, ["GET /version"]) as load:
        load.wait_for_more(20)
        deploy("probe2", app.parent)
        s.kill(s.process.pid, signal.SIGHUP)
        wait_until(lambda: ask(s).endswith("version 2\n"), "the new code")
        load.stop()
        assert set(load.count()) == {200}


BROKEN = [
    ("no_app", ["has no hr_app()"]),
    ("crashing", ["SIGABRT", "it wrote: the ledger is torn"]),
    ("refusing", ["/app.so failed", "it wrote: the database is not there"]),
]


@pytest.mark.parametrize("broken, reasons", BROKEN)
def test_broken_code_is_refused_with_its_reason_and_the_old_serves_on(site, app, broken, reasons):
    with site("-w", 2, app=app) as s:
        old = s.ready()
        with Load(s.port, ["GET /version"]) as load, Sockets(s.port) as sockets:
            load.wait_for_more(20)
            deploy(broken, app.parent)
            done = s.run("reload", "--wait", check=False)
            load.wait_for_more(20)
            sockets.wait_for_more(2)
        said = done.stdout + done.stderr
        print(said)
        assert done.returncode != 0
        assert "web" in said and "old workers keep serving" in said
        for reason in reasons:
            assert reason in said
        assert_unharmed(load, sockets)
        assert sorted(s.ready()) == sorted(old)
        deploy("probe2", app.parent)
        s.run("reload", "--wait")
        assert ask(s).endswith("version 2\n")


@pytest.fixture
def slow(site, tmp_path):
    """A site whose new workers boot for as long as there is no file `go`."""
    (tmp_path / "go").touch()
    with site("-w", 2, app=deploy("slow", tmp_path), env={"GO": str(tmp_path / "go")}) as s:
        (tmp_path / "go").unlink()
        yield s
        (tmp_path / "go").touch()


def reload_at_terminal(s):
    """`headrace reload --wait`, and what it shows on its terminal until it ends."""
    ours, its = pty.openpty()
    command = [str(BUILD / "headrace"), "reload", "--wait", "--layer", s.layer]
    process = subprocess.Popen(command, cwd=s.directory, env=s.env, stdout=subprocess.PIPE, stderr=its, text=True)
    os.close(its)
    return process, ours


def read_terminal(terminal):
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:  # nobody has it open any more
        pass
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n").splitlines()


def test_a_reload_that_waits_comes_after_the_one_under_way(slow, tmp_path):
    first, terminal = reload_at_terminal(slow)
    wait_until(lambda: len(slow.events("worker_start", worker="web.1")) == 2, "the first reload's first worker")
    second, other_terminal = reload_at_terminal(slow)
    assert os.read(other_terminal, 4096) == b"another reload is under way; this one comes after it\r\n"
    for pool in ((), ("--pool", "web"), ("--pool", "web")):  # the second's will do; another; once is enough
        slow.run("reload", *pool)
    assert first.poll() is None and second.poll() is None
    (tmp_path / "go").touch()
    done = [process.communicate(timeout=PATIENCE)[0] for process in (first, second)]
    assert all(text.startswith("reloaded in ") for text in done), done
    assert (first.returncode, second.returncode) == (0, 0)
    progress = ["web: 1 of 2 new workers are ready", "web: 2 of 2 new workers are ready"]
    assert read_terminal(terminal) == progress
    assert read_terminal(other_terminal) == progress
    wait_until(lambda: len(slow.events("reload")) == 3, "the third, which nobody waited for")


def test_reloads_that_wait_are_told_that_the_site_stops(slow, tmp_path):
    first, terminal = reload_at_terminal(slow)
    wait_until(lambda: len(slow.events("worker_start", worker="web.1")) == 2, "the first reload's first worker")
    second, other_terminal = reload_at_terminal(slow)
    assert "comes after it" in os.read(other_terminal, 4096).decode()
    slow.is_over = True
    slow.process.terminate()
    assert (first.wait(PATIENCE), second.wait(PATIENCE)) == (1, 1)
    for shown in (terminal, other_terminal):
        assert read_terminal(shown)[-1] == "reload refused: the site is being stopped."


def test_a_file_that_is_no_program_is_refused_too(site, app):
    with site("-w", 1, app=app) as s:
        app.unlink()
        app.write_text("not a shared object\n")
        done = s.run("reload", "--wait", check=False)
        assert done.returncode != 0 and "app.so" in done.stdout + done.stderr
        assert ask(s).endswith("version 1\n")


def test_after_a_refused_reload_a_worker_that_dies_comes_back_with_the_old_code(site, app):
    with site("-w", 2, app=app) as s:
        deploy("no_app", app.parent)
        assert s.run("reload", "--wait", check=False).returncode == 4
        killed = s.kill_workers("web")
        s.wait_for_workers("web", 2, without=killed)
        assert ask(s).endswith("version 1\n"), "what was refused never runs"


def test_a_file_half_written_over_the_running_one_harms_nobody(site, app):
    with site("-w", 2, app=app) as s:
        app.write_bytes(b"\x7fELF, cut short")  # in place, as cp and some linkers do
        killed = s.kill_workers("web")
        s.wait_for_workers("web", 2, without=killed)
        assert ask(s).endswith("version 1\n")


def test_watching_rolls_in_what_is_built_and_keeps_sockets(site, app):
    with site("-w", 2, "--reload", app=app) as s:
        with Load(s.port, ["GET /version"]) as load, Sockets(s.port) as sockets:
            load.wait_for_more(10)
            old = s.ready()
            deploy("probe2", app.parent)
            new = s.wait_for_workers("web", 2, without=old)
            assert ask(s).endswith("version 2\n")
            shutil.copy(APPS / "no_app.so", app)  # written in place, and broken
            wait_until(lambda: "no hr_app" in s.log(), "the refusal")
            assert sorted(s.ready()) == sorted(new) and ask(s).endswith("version 2\n")
            shutil.copy(APPS / "probe.so", app)
            s.wait_for_workers("web", 2, without=new)
            assert ask(s).endswith("version 1\n")
            sockets.wait_for_more(2)
        assert_unharmed(load, sockets)


def test_bad_settings_are_refused_at_a_reload_and_the_old_ones_hold(site, tmp_path):
    config = tmp_path / "site.ini"
    config.write_text("[pool web]\nprocesses = 1\n")
    with site("-c", config) as s:
        config.write_text("[pool web]\nprocesses = many\n")
        done = s.run("reload", "--wait", check=False)
        assert done.returncode != 0
        assert "processes" in done.stdout + done.stderr and "many" in done.stdout + done.stderr
        assert ask(s).endswith("version 1\n") and len(s.ready()) == 1
        config.write_text("[pool web]\nprocesses = 3\n")
        s.run("reload", "--wait")
        s.wait_for_workers("web", 3)


# ---- the end


def test_term_lets_requests_end_and_takes_no_new_ones(site):
    s = site("-w", 1)
    with s, socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        sock.sendall(b"GET /slow?ms=700&tag=one HTTP/1.1\r\nHost: h\r\n\r\n")
        s.wait_for_output("taken one")
        s.kill(s.process.pid, signal.SIGTERM)
        wait_until(lambda: s.events("stop"), "the stop to begin")
        got = sock.recv(65536)
        assert got.startswith(b"HTTP/1.1 200") and b"connection: close" in got.lower()
        assert s.process.wait(PATIENCE) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", s.port))
        s.is_over = True


def test_term_says_goodbye_to_sockets(site):
    with site("-w", 1, "--drain", "300ms") as s:
        with connect(f"ws://127.0.0.1:{s.port}/ws") as ws:
            s.kill(s.process.pid, signal.SIGTERM)
            with pytest.raises(Exception, match="101[12]|going away|1001"):
                ws.recv(PATIENCE)
            print("closed with", ws.close_code, ws.close_reason)
            assert ws.close_code in (1001, 1012)
        assert s.process.wait(PATIENCE) == 0
        s.is_over = True


def test_a_second_interrupt_stops_at_once(site):
    with site("-w", 1) as s, socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        sock.sendall(b"GET /slow?ms=60000&tag=one HTTP/1.1\r\nHost: h\r\n\r\n")
        s.wait_for_output("taken one")
        children = s.children()
        s.kill(s.process.pid, signal.SIGINT)
        wait_until(lambda: s.events("stop"), "the stop to begin")
        time.sleep(0.3)
        assert s.process.poll() is None, "it drains"
        began = time.monotonic()
        s.kill(s.process.pid, signal.SIGINT)
        s.process.wait(PATIENCE)
        print("ended", round((time.monotonic() - began) * 1000), "ms after the second, with", s.process.returncode)
        assert time.monotonic() - began < 1
        assert not [pid for pid in children if s.is_running(pid)]
        s.is_over = True

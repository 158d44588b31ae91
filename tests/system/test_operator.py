"""What operators do at 3 a.m.: pausing channels, dead letters, closing sockets, stacks, a status that goes on."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from datetime import datetime

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from support.headrace import BUILD, PATIENCE, wait_until

POOLS = "[pool web]\nprocesses = 1\nqueue_timeout = 3s\n[pool jobs]\nchannels = jobs.*\nprocesses = 1\n"
JOBS = "[channel jobs.*]\ndelivery = at-least-once\nattempts = 2\nbackoff = 50ms\n"


@pytest.fixture
def jobs(site, tmp_path):
    """A site with a pool for HTTP and one for jobs, which are sure."""
    config = tmp_path / "jobs.ini"
    config.write_text(POOLS + JOBS)
    with site("-c", config, "--expose-reason") as s:
        yield s


def get(s, path):
    with socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while piece := sock.recv(65536):
            got += piece
        return got.decode("latin-1")


def dead(s, *words, **options):
    return s.run("dead", *words, **options)


def letters(s, *words):
    return [json.loads(line) for line in dead(s, "list", *words, "--json").stdout.splitlines()]


def hints(s, text):
    """The lines of `status` that say what is wrong."""
    return [line for line in s.run("status").stdout.splitlines() if line.startswith("! ") and text in line]


def fail_jobs(s, *whats):
    """Sends jobs that fail as often as they may."""
    before = len(letters(s))
    for what in whats:
        s.run("send", "jobs.do", f"what={what}")
    return wait_until(lambda: len(letters(s)) == before + len(whats) and letters(s), "the dead letters")


# ---- dead letters


def test_what_fails_too_often_is_listed_with_where_how_often_and_why(jobs):
    assert dead(jobs, "list").stdout == "no dead letters\n"
    assert dead(jobs, "list", "jobs.do").stdout == "no dead letters on jobs.do\n"
    first, second = fail_jobs(jobs, "need never", "need nothing")
    assert {**first, "age": 0} == {
        "number": 1,
        "channel": "dead.jobs.do",
        "failed_in": "jobs.do",
        "attempts": 2,
        "reason": "app",
        "age": 0,
        "bytes": first["bytes"],
    }
    assert second["number"] == 2 and 0 < second["age"] < PATIENCE
    head, row = dead(jobs, "list").stdout.splitlines()
    assert head.split() == ["CHANNEL", "COUNT", "OLDEST", "FAILED", "IN", "ATTEMPTS", "REASON"]
    words = row.split()
    assert (words[0], words[1], words[-3:]) == ("dead.jobs.do", "2", ["jobs.do", "2", "app"])
    for channel in ("jobs.do", "dead.jobs.do"):
        assert [line.split()[0] for line in dead(jobs, "list", channel).stdout.splitlines()] == ["NUMBER", "1", "2"]
        shown = [json.loads(line) for line in dead(jobs, "show", channel).stdout.splitlines()]
        assert shown == [{"what": "need never"}, {"what": "need nothing"}]
    assert json.loads(dead(jobs, "show", "jobs.do", "2").stdout) == {"what": "need nothing"}
    (line,) = hints(jobs, "dead letters")
    assert line.startswith("! dead letters: 2 on jobs.do ") and line.endswith("headrace dead list")
    assert dead(jobs, "drop", "--all").stdout == "dropped 2 dead letters\n"


def test_a_retried_letter_is_done_when_its_trouble_is_over(jobs):
    fail_jobs(jobs, "need ready", "need never")
    (jobs.directory / "ready").touch()
    assert dead(jobs, "retry", "jobs.do", "1").stdout == "retried 1 dead letter\n"
    jobs.wait_for_output("done ready")
    assert [letter["number"] for letter in letters(jobs)] == [2]
    assert dead(jobs, "retry", "--all").stdout == "retried 1 dead letter\n"
    wait_until(lambda: [letter["number"] for letter in letters(jobs)] == [3], "it to have failed as often again")
    assert len(jobs.output("job need never")) == 4
    assert dead(jobs, "drop", "jobs.do", "3").stdout == "dropped 1 dead letter\n"
    assert jobs.channel("dead.jobs.do")["dropped"] == {"flushed": 1}


def test_a_worker_that_dies_each_time_leaves_a_letter_too(jobs):
    (letter,) = fail_jobs(jobs, "die")
    assert letter["reason"] == "worker_died" and letter["attempts"] == 2
    dead(jobs, "drop", "dead.jobs.do", "--all")
    jobs.wait_for_workers("jobs", 1)


def test_a_failed_job_waits_for_its_back_off(site, tmp_path):
    config = tmp_path / "slow.ini"
    config.write_text(POOLS + JOBS.replace("50ms", "3s"))
    with site("-c", config) as s:
        s.run("send", "jobs.do", "what=need ready")
        s.wait_for_output("job need ready")
        (s.directory / "ready").touch()
        assert s.channel("jobs.do")["waiting"] == 1
        s.wait_for_output("done ready")
        first, second = (datetime.fromisoformat(line["ts"].rstrip("Z")) for line in s.output("job need ready"))
        assert 2.5 < (second - first).total_seconds() < PATIENCE


def test_letters_that_are_not_there_and_words_left_out_are_said(jobs):
    fail_jobs(jobs, "need never")
    for words, code, text in (
        (("drop", "jobs.do"), 2, "drop CHANNEL NUMBER..."),
        (("drop",), 2, "drop CHANNEL NUMBER..."),
        (("retry", "jobs.do", "1", "--all"), 2, "retry CHANNEL NUMBER..."),
        (("show",), 2, "show CHANNEL"),
        (("drop", "jobs.do", "7"), 1, "no dead letter 7 on 'jobs.do'"),
        (("drop", "jobs.do", "x"), 2, "'x' is no number"),
        (("drop", "other", "--all"), 1, "no dead letters on 'other'"),
        (("lst",), 2, "did you mean 'headrace dead list'?"),
    ):
        said = dead(jobs, *words, check=False)
        assert (said.returncode, said.stdout) == (code, ""), words
        assert text in said.stderr, words
    assert len(letters(jobs)) == 1
    dead(jobs, "drop", "--all")


# ---- delayed


def test_a_message_sent_with_a_delay_waits_so_long_and_outlives_the_workers(jobs):
    (jobs.directory / "ready").touch()
    began = time.monotonic()
    jobs.run("send", "jobs.do", "what=need ready", "--delay", "5s")
    victims = jobs.kill_workers("jobs")
    jobs.wait_for_workers("jobs", 1, without=victims)
    assert jobs.channel("jobs.do")["waiting"] == 1
    jobs.wait_for_output("done ready")
    assert time.monotonic() - began > 4.9
    said = jobs.run("send", "jobs.do", "--delay", "soon", check=False)
    assert said.returncode == 2 and "'soon' is no time" in said.stderr


# ---- pausing


def test_a_paused_channel_keeps_what_is_sent_until_it_is_resumed(jobs):
    (jobs.directory / "ready").touch()
    assert jobs.run("pause", "jobs.do").stdout == "paused jobs.do: 0 messages wait\n"
    for _ in range(3):
        jobs.run("send", "jobs.do", "what=need ready")
    victims = jobs.kill_workers("jobs")
    jobs.wait_for_workers("jobs", 1, without=victims)
    assert jobs.run("pause", "jobs.*").stdout == "jobs.do was paused already\n"
    assert jobs.channel("jobs.do")["waiting"] == 3 and jobs.channel("jobs.do")["paused"] > 0
    (line,) = hints(jobs, "paused for")
    assert line.startswith("! 'jobs.do' has been paused for ") and line.endswith("headrace resume jobs.do")
    assert "(3 messages)" in line
    assert jobs.output("job") == []
    assert jobs.run("resume", "jobs.do").stdout.startswith("resumed jobs.do: ")
    jobs.wait_for_output("done ready", 3)
    assert jobs.run("resume", "jobs.do").stdout == "jobs.do was not paused\n"


def test_requests_of_a_paused_pool_wait_and_are_then_refused(jobs):
    assert get(jobs, "/version").endswith("version 1\n")
    jobs.run("pause", "http.request.web")
    began = time.monotonic()
    refused = get(jobs, "/version")
    assert refused.startswith("HTTP/1.1 503") and "queue_timeout" in refused
    assert time.monotonic() - began > 2.9
    stale = jobs.channel("http.request.web")["waiting"]  # dropped when somebody takes it
    with socket.create_connection(("127.0.0.1", jobs.port), timeout=PATIENCE) as sock:
        sock.sendall(b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        wait_until(lambda: jobs.channel("http.request.web")["waiting"] == stale + 1, "the request to wait")
        jobs.run("resume", "http.request.web")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_channel_that_is_not_there_cannot_be_paused(jobs):
    said = jobs.run("pause", "jobs.d", check=False)
    assert said.returncode == 1 and "did you mean 'jobs.do'?" in said.stderr
    said = jobs.run("resume", "nothing.*", check=False)
    assert said.returncode == 1 and "there is no channel 'nothing.*'" in said.stderr
    assert jobs.run("pause", check=False).returncode == 2


# ---- status


def test_a_message_that_nobody_listens_to_is_named_with_what_may_be_meant(jobs):
    jobs.run("send", "jobz.do", "what=nothing")
    jobs.run("send", "elsewhere", "n=1")
    jobs.run("send", "elsewhere", "n=2")
    near, far = hints(jobs, "nobody listens")
    assert near.startswith("! nobody listens on 'jobz.do' (1 message, oldest ")
    assert near.endswith("did you mean 'jobs.do'?")
    assert far.startswith("! nobody listens on 'elsewhere' (2 messages, oldest ") and far.endswith("s)")
    jobs.run("flush", "elsewhere")
    jobs.run("flush", "jobz.do")


class Screen:
    """`headrace status --watch` on a terminal of its own."""

    def __init__(self, s, rows, columns):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(theirs)
        command = [BUILD / "headrace", "status", "--watch", "--all", "--layer", s.layer]
        env = {**s.env, "TERM": "xterm"}
        self.process = subprocess.Popen(
            command,
            env=env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.theirs = theirs
        self.seen = ""

    def read(self):
        ready, _, _ = select.select([self.ours], [], [], 0.1)
        self.seen += os.read(self.ours, 65536).decode() if ready else ""

    def wait_for(self, condition, what):
        return wait_until(lambda: self.read() or condition(self.seen), what)

    def end(self):
        """Its exit code, once the terminal is as it was."""
        code = self.process.wait(PATIENCE)
        wait_until(lambda: self.read() or self.seen.endswith("\033[?25h\033[?1049l"), "the screen given back")
        assert termios.tcgetattr(self.theirs) == self.before
        os.close(self.ours)
        os.close(self.theirs)
        return code


def pictures(seen):
    return seen.split("\033[H")[1:]


@pytest.mark.parametrize("key", ["q", "\003"])  # the latter is ^C
def test_watching_on_a_terminal_redraws_within_its_size_until_it_is_told_to_end(jobs, key):
    screen = Screen(jobs, 8, 60)
    screen.wait_for(lambda seen: seen.count("q ends") == 2, "two pictures")
    jobs.run("pause", "jobs.do")
    screen.wait_for(lambda seen: "paused for" in pictures(seen)[-1], "news")
    os.write(screen.ours, key.encode())
    assert screen.end() == 0
    assert screen.seen.startswith("\033[?1049h\033[?25l\033[H")
    for picture in pictures(screen.seen)[:-1]:
        lines = picture.split("\033[K\r\n")
        assert len(lines) == 8 and all(len(line) <= 60 for line in lines[:-1])
        assert re.fullmatch(r"\d+ more lines; q ends\033\[J", lines[-1])


def test_watching_follows_the_size_of_its_terminal(jobs):
    screen = Screen(jobs, 8, 60)
    screen.wait_for(lambda seen: "q ends" in seen, "a picture")
    fcntl.ioctl(screen.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
    screen.process.send_signal(signal.SIGWINCH)
    screen.wait_for(lambda seen: "LISTENERS" in pictures(seen)[-1] and "more lines" not in pictures(seen)[-1], "all of it")
    screen.process.terminate()
    assert screen.end() == 0


def test_watching_for_a_program_is_a_line_of_json_each_second(jobs):
    command = [BUILD / "headrace", "status", "--watch", "--json", "--all", "--layer", jobs.layer]
    with subprocess.Popen(command, env=jobs.env, stdout=subprocess.PIPE, text=True) as watch:
        began = time.monotonic()
        first, second, third = (json.loads(watch.stdout.readline()) for _ in range(3))
        assert 1.5 < time.monotonic() - began < PATIENCE
        assert first["name"] == second["name"] == third["name"] == "test"
        assert first.keys() == jobs.status().keys()
        watch.stdout.close()  # who reads has had enough
        assert watch.wait(PATIENCE) == 0


def test_watching_into_a_file_is_one_picture_after_the_other(jobs):
    command = [BUILD / "headrace", "status", "--watch", "--layer", jobs.layer]
    with subprocess.Popen(command, env=jobs.env, stdout=subprocess.PIPE, text=True) as watch:
        lines = [watch.stdout.readline() for _ in range(9)]
        watch.terminate()
    assert "\033" not in "".join(lines)
    assert len([line for line in lines if line.startswith("test   up ")]) == 2 and "\n" in lines


# ---- closing sockets


def open_ws(s, path):
    return connect(f"ws://127.0.0.1:{s.port}{path}", compression=None, open_timeout=PATIENCE)


def open_raw(s, path):
    """A WebSocket that nobody reads."""
    sock = socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE)
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert sock.recv(4096).startswith(b"HTTP/1.1 101")
    return sock


def test_sockets_are_closed_by_path_on_every_server(site):
    with site("-w", 1, "--server-processes", 2) as s, contextlib.ExitStack() as stack:
        meant = [stack.enter_context(open_ws(s, f"/ws/a/{i}")) for i in range(8)]
        others = [stack.enter_context(open_ws(s, "/ws/b")) for _ in range(3)]
        said = s.run("close", "--path", "/ws/a/", "--code", "1012", "--reason", "maintenance").stdout
        assert said == "closed 8 WebSockets whose path begins with '/ws/a/' (code 1012)\n"
        for ws in meant:
            with pytest.raises(ConnectionClosed):
                ws.recv(PATIENCE)
            assert (ws.protocol.close_code, ws.protocol.close_reason) == (1012, "maintenance")
        for ws in others:
            ws.send("hello")
            assert ws.recv(PATIENCE) == "hello"
        s.wait_for_output("closed 1012", 8)
        assert "closed 0 WebSockets" in s.run("close", "--path", "/ws/a/").stdout
        assert "closed 3 WebSockets" in s.run("close", "--path", "/").stdout
        assert sum(line["sockets"] for line in s.events("operator", what="close", code=1012)) == 8


def test_more_sockets_than_a_turn_closes_are_all_closed(site):
    with site("-w", 1, "--server-processes", 1, "--close-timeout", "200ms") as s:
        sockets = [open_raw(s, "/ws/many") for _ in range(600)]
        assert s.run("close", "--path", "/ws").stdout.startswith("closed 600 WebSockets ")
        for sock in sockets:
            assert sock.recv(64)[0] == 0x88
            sock.close()


def test_a_close_that_makes_no_sense_is_refused(site, tmp_path):
    with site("-w", 1) as s:
        for words, text in (
            ((), "--path"),
            (("--path", "ws"), "--path"),
            (("--path", "/", "--code", "1005"), "1005"),
            (("--path", "/", "--code", "x"), "'x' is no code"),
            (("--path", "/", "--reason", "x" * 124), "123 bytes"),
        ):
            said = s.run("close", *words, check=False)
            assert said.returncode == 2 and text in said.stderr
    said = s.run("close", "--path", "/", check=False)
    assert said.returncode == 6 and "no interface server runs" in said.stderr


# ---- stacks


def functions(text):
    """Of each thread the names of its frames, innermost first."""
    threads = text.split("\n  thread ")[1:]
    return [[line.split()[0] for line in thread.splitlines()[1:] if line.startswith("    ")] for thread in threads]


def test_the_stack_of_a_worker_that_is_stuck_names_the_function_the_line_and_the_event(jobs):
    with socket.create_connection(("127.0.0.1", jobs.port), timeout=PATIENCE) as sock:
        sock.sendall(b"GET /block?ms=3000&tag=a HTTP/1.1\r\nHost: h\r\n\r\n")
        jobs.wait_for_output("taken a")
        said = jobs.run("stack", "web").stdout
        assert re.match(r"web\.1   pid \d+   \d events? open   in the same call for [\d.]+ m?s\n  thread \d+ ", said)
        assert re.search(r"in hand: http\.request /block, connection \d+, taken \d+\.\d s ago\n", said)
        assert re.search(r"\n    block at probe\.c:\d+\n", said)
        assert "hr_worker_run" in functions(said)[0] and "end" not in said.splitlines()
        assert sock.recv(65536).startswith(b"HTTP/1.1 200"), "and nothing happened to it"


def test_stacks_of_a_pool_are_of_all_its_workers_and_their_threads(site):
    with site("-w", 2) as s:
        said = s.run("stack", "web").stdout
        assert sorted(line.split()[0] for line in said.splitlines() if line.startswith("web.")) == ["web.1", "web.2"]
        assert all("epoll" in frames[0] for frames in functions(said) if "hr_worker_run" in frames)
        assert s.run("stack", "web.2").stdout.startswith("web.2   pid ")
        assert len(s.ready()) == 2 and not s.events("worker_died")


def test_the_threads_of_a_pool_are_in_a_stack_too(site):
    with site("-w", 1) as s, socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        sock.sendall(b"GET /job?ms=3000&tag=b HTTP/1.1\r\nHost: h\r\n\r\n")
        s.wait_for_output("taken b")
        found = functions(s.run("stack", "web").stdout)
        (busy,) = [frames for frames in found if "job_run" in frames]
        assert "hr_worker_run" not in busy and len(found) > 1
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_worker_that_cannot_answer_is_said_to_be_stopped(site):
    with site("-w", 1) as s:
        (pid,) = s.ready()
        s.kill(pid, signal.SIGSTOP)
        said = s.run("stack", "web", check=False)
        s.kill(pid, signal.SIGCONT)
        assert said.returncode == 1 and "is stopped" in said.stderr
        assert s.run("stack", "web").returncode == 0
        said = s.run("stack", "wed", check=False)
        assert said.returncode == 1 and "did you mean 'web'?" in said.stderr
        assert not list((s.directory / "layer").glob("stack.*"))


def test_a_worker_of_another_pid_namespace_is_left_alone(site):
    """Its pid is somebody else's here."""
    apart = ("unshare", "--pid", "--fork")
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no pid namespaces for us")
    with site("-w", 1) as s:
        command = [*apart, BUILD / "headrace", "stack", "web", "--layer", s.layer]
        said = subprocess.run(command, env=s.env, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert said.returncode == 1 and "web.1 runs in another container" in said.stderr
        assert not s.events("worker_died")

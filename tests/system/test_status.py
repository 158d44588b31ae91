"""What `headrace status` shows is of this moment: nothing waits for a supervisor to write it down."""

import socket

from support.headrace import PATIENCE


def get(s, path):
    with socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while piece := sock.recv(65536):
            got += piece
        return int(got.split()[1])


def test_refusals_and_times_are_shown_at_once(site):
    with site("-w", 1, "--pool", "web.queue_timeout=100ms") as s:
        assert (s.pool("web")["refused_1h"], s.pool("web")["run_p99"]) == (0, 0)
        with socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as busy:
            busy.sendall(b"GET /block?ms=1000&tag=busy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            s.wait_for_output("taken busy")
            assert get(s, "/version") == 503
            pool = s.pool("web")
            assert (pool["refused_1h"], pool["refused_reason"]) == (1, "queue_timeout")
            assert b" 200 " in busy.recv(65536)
        assert s.pool("web")["run_p99"] >= 0.3  # of the bucket that a second falls into
        text = s.run("status").stdout
        assert "WAIT p99 5m" in text and "1  queue_timeout" in text


def test_what_became_of_events_in_hand_is_a_hint(site):
    with site("-w", 1) as s:
        assert "!" not in s.run("status").stdout
        assert get(s, "/die") == 502
        s.wait_for_workers("web", 1)
        assert "! web: of events whose worker died, 1 redelivered, 0 lost (1h)" in s.run("status").stdout

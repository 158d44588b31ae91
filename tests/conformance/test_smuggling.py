"""Request smuggling: whatever two servers in a row might end differently is refused, alone and behind proxies.

Alone, each case of the corpus has the answers that stand there, and the application is asked exactly what stands
there. Behind a proxy that shares its connections to us between clients, the proxy may refuse or mend a case; then
nobody is answered with what is another's, and the application is asked nothing that the proxy did not take for a
request.
"""

import contextlib
import socket
from collections import Counter

import pytest
from conformance.corpus import load
from conformance.proxies import Haproxy, Nginx

from support.headrace import BUILD, PATIENCE, Headrace, wait_until

CASES = load()
WITNESS = BUILD / "tests" / "conformance" / "witness.so"
END = b"GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
QUIET = 0.5  # seconds without a byte: a proxy waits for more of a request that is not whole


def in_files(case):
    return case.name


def receive(sock, patience):
    """All that comes until the end, or until nothing does."""
    got = b""
    sock.settimeout(patience)
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while piece := sock.recv(65536):
            got += piece
    return got


def send(sock, data):
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who is refused early may not take it all
        sock.sendall(data)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def exchange(port, data, patience=PATIENCE):
    with connect(port) as sock:
        send(sock, data)
        return read_answers(receive(sock, patience))


def read_answers(data):
    """(status, body) of each final answer; all have a Content-Length, but those that end the connection."""
    answers = []
    while b"\r\n\r\n" in data:
        head, _, data = data.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if 100 < status < 200:
            return [*answers, (status, b"")]  # what follows is another protocol
        if status == 100:
            continue
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields.get(b"content-length", len(data)))
        answers.append((status, data[:length]))
        data = data[length:]
    return answers


class WitnessSite(Headrace):
    def seen(self):
        """What the application was asked since the last time."""
        ((_, lines),) = exchange(self.port, b"GET /seen HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return lines.decode().splitlines()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    options = ("--name", "witness", "-w", "1", "--body-timeout", "300ms")
    with WitnessSite(tmp_path_factory.mktemp("witness"), WITNESS, *options) as running:
        yield running
        wait_until(running.is_at_rest, "the site at rest")


# ---- alone


@pytest.mark.parametrize("case", CASES, ids=in_files)
def test_alone(site, case):
    site.seen()
    got = exchange(site.port, case.bytes + END)
    expected = [(answer.status, answer.seen) for answer in case.answers]
    if case.goes_on:
        expected.append((200, "GET /end 0"))
    assert [status for status, _ in got] == [status for status, _ in expected]
    for (status, body), (_, seen) in zip(got, expected):
        assert status != 200 or body.decode() == seen + "\n"
    assert site.seen() == [seen for _, seen in expected if seen]


# ---- behind proxies


@pytest.fixture(scope="module", params=[Nginx, Haproxy], ids=["nginx", "haproxy"])
def proxy(request, site, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("proxy"), site.port) as running:
        yield running


def get(sock, target):
    send(sock, f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head or len(head) < whole_length(head):
        piece = sock.recv(65536)
        assert piece, f"the connection ended after {head}"
        head += piece
    return read_answers(head)[0]


def whole_length(data):
    head, _, _ = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    return len(head) + 4 + int(fields.get(b"content-length", 0))


def assert_served(port):
    """Somebody else, whom the proxy gives the connection that the attacker has used."""
    with connect(port) as victim:
        for number in range(2):
            status, body = get(victim, f"/victim/{number}")
            assert (status, body) == (200, b"GET /victim/%d 0\n" % number)


def test_the_proxy_shares_its_connection_to_us(site, proxy):
    for _ in range(3):
        assert_served(proxy.port)
    assert site.status()["connections"]["http"] == 1


@pytest.mark.parametrize("case", CASES, ids=in_files)
def test_behind(site, proxy, case):
    site.seen()
    proxy.forget()
    with connect(proxy.port) as attacker:
        client = attacker.getsockname()[1]
        send(attacker, case.bytes + END)
        got = read_answers(receive(attacker, QUIET))
        assert_served(proxy.port)
    seen = Counter(line.rpartition(" ")[0] for line in site.seen())

    def logged():
        lines = [line for line in proxy.logged() if line.line != "GET /seen"]
        mine = [line for line in lines if line.client == client]
        is_whole = len(mine) >= len(got) and seen <= Counter(line.line for line in lines)
        return (lines, mine) if is_whole else None

    _, mine = wait_until(logged, f"{proxy.program} to have logged {dict(seen)} and {len(got)} answers")
    answered = [line.line for line in mine if line.status == 200]
    assert [body.decode().rpartition(" ")[0] for status, body in got if status == 200] == answered[: len(got)]

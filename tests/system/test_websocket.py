"""Promises to WebSocket clients: Python's `websockets`, node's `ws`, and what nginx makes of both."""

import base64
import json
import os
import random
import re
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from support.headrace import PATIENCE
from support.nginx import Nginx

HERE = Path(__file__).parent
MIB = 1 << 20


def open_ws(s, path="/ws", **options):
    url = f"ws://127.0.0.1:{s.port}{path}"
    return connect(url, compression=None, max_size=None, open_timeout=PATIENCE, **options)


def test_text_stays_text_and_bytes_stay_bytes(site):
    with site() as s, open_ws(s) as ws:
        for message in ("hello", "grüße 🌊", "", b"\x00\xff", b""):
            ws.send(message)
            assert ws.recv(PATIENCE) == message


def test_messages_of_one_mebibyte_come_back_whole_and_in_order(site):
    with site("-w", 2) as s, open_ws(s) as ws:
        randomness = random.Random(1)
        for n in (125, 126, 65535, 65536, 65537, MIB):
            message = randomness.randbytes(n)
            ws.send(message)
            assert ws.recv(PATIENCE) == message


def test_a_message_over_the_limit_is_closed_with_1009(site):
    with site() as s, open_ws(s) as ws:
        with pytest.raises(ConnectionClosed) as closed:
            ws.send(b"x" * (MIB + 1))
            ws.recv(PATIENCE)
        assert closed.value.rcvd.code == 1009


def test_fragments_make_one_message_and_pings_may_come_between(site):
    with site() as s, open_ws(s) as ws:
        ws.send(["frag", "men", "ted"])
        assert ws.recv(PATIENCE) == "fragmented"
        assert ws.ping(b"data").wait(PATIENCE)


def test_close_codes_travel_both_ways(site):
    with site() as s:
        with open_ws(s) as ws:
            ws.close(4001, "bye")
            assert ws.close_code == 4001
        s.wait_for_output("closed 4001")
        with open_ws(s) as ws:
            ws.send("close 4321")
            with pytest.raises(ConnectionClosed) as closed:
                ws.recv(PATIENCE)
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "as you said")
        with open_ws(s) as ws:
            ws.socket.shutdown(socket.SHUT_RDWR)
        s.wait_for_output("closed 1006")


def test_a_subprotocol_is_chosen_by_the_application(site):
    with site() as s:
        with open_ws(s, subprotocols=["v1.probe", "v2.probe"]) as ws:
            assert ws.subprotocol == "v2.probe"
        with open_ws(s) as ws:
            assert ws.subprotocol is None


def test_a_handshake_can_be_denied_with_a_status(site):
    with site() as s:
        for path, status in (("/deny", 451), ("/nowhere", 404)):
            with pytest.raises(InvalidStatus) as refused, open_ws(s, path):
                pass
            assert refused.value.response.status_code == status


def test_a_foreign_origin_is_403_and_the_own_one_is_not(site):
    with site() as s:
        with open_ws(s, origin=f"http://127.0.0.1:{s.port}") as ws:
            ws.send("mine")
            assert ws.recv(PATIENCE) == "mine"
        with pytest.raises(InvalidStatus) as refused, open_ws(s, origin="https://evil.example"):
            pass
        assert refused.value.response.status_code == 403
    with site("--origins", "https://*.example.org") as s:
        with open_ws(s, origin="https://www.example.org") as ws:
            ws.send("listed")
            assert ws.recv(PATIENCE) == "listed"


def test_state_stays_with_the_socket_whichever_worker_takes_its_event(site):
    with site("-w", 2) as s, open_ws(s) as ws:
        for i in range(1, 50):
            ws.send("count")
            assert ws.recv(PATIENCE) == str(i)


def test_a_silent_socket_is_pinged_and_a_dead_one_is_closed(site):
    with site("--ping-interval", "150ms", "--ping-timeout", "300ms") as s:
        with socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
            handshake(sock)
            assert read_frame(sock)[0] == 0x89, "a ping"
            opcode, payload = 0x89, b""
            while opcode == 0x89:
                opcode, payload = read_frame(sock)
            assert (opcode, struct.unpack(">H", payload[:2])[0]) == (0x88, 1011)
        with open_ws(s) as ws:  # answers pings
            with pytest.raises(TimeoutError):
                ws.recv(1)
            ws.send("alive")
            assert ws.recv(PATIENCE) == "alive"


def handshake(sock, path="/ws"):
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101")


def read_exactly(sock, n):
    got = b""
    while len(got) < n:
        piece = sock.recv(n - len(got))
        assert piece, "closed"
        got += piece
    return got


def read_frame(sock):
    """First byte and payload of a small frame."""
    first, n = read_exactly(sock, 2)
    return first, read_exactly(sock, n)


def frame(first, payload):
    """A small masked frame."""
    mask = b"\1\2\3\4"
    return bytes([first, 0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


@pytest.mark.parametrize(
    "sent, code",
    [
        (b"\x81\x02hi", 1002),  # not masked
        (frame(0xC1, b"hi"), 1002),  # a reserved bit
        (frame(0x83, b"hi"), 1002),  # a reserved opcode
        (frame(0x80, b"hi"), 1002),  # a continuation of nothing
        (frame(0x09, b"hi"), 1002),  # a fragmented ping
        (frame(0x81, b"\xff\xfe"), 1007),  # not UTF-8
    ],
)
def test_what_rfc_6455_forbids_is_closed_with_its_code(site, sent, code):
    with site() as s, socket.create_connection(("127.0.0.1", s.port), timeout=PATIENCE) as sock:
        handshake(sock)
        sock.sendall(sent)
        opcode, payload = read_frame(sock)
        assert (opcode, struct.unpack(">H", payload[:2])[0]) == (0x88, code)


def test_nodes_ws_client_sees_what_was_promised(site):
    with site() as s:
        command = ["node", str(HERE / "ws_client.mjs"), f"ws://127.0.0.1:{s.port}"]
        got = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * 2, check=False)
        assert got.returncode == 0, got.stderr
        assert json.loads(got.stdout) == {
            "protocol": "v2.probe",
            "text": ["tëxt", False],
            "binary": True,
            "fragmented": "fragmented",
            "pong": "hello",
            "closed": [4001, ""],
            "no_protocol": "",
            "closed_by_server": [4999, "as you said"],
            "denied": "status 451",
            "not_found": "status 404",
            "foreign": "status 403",
        }


# ---- behind nginx


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_nginx_in_front_keeps_its_connections_and_upgrades_websockets(site, tmp_path, family):
    directory = tmp_path / "nginx"
    directory.mkdir()
    options = ["--bind", f"unix:{tmp_path}/up.sock"] if family == "unix" else []
    with site("--server-processes", 1, *options) as s:
        upstream = f"unix:{tmp_path}/up.sock" if family == "unix" else f"127.0.0.1:{s.port}"
        with Nginx(directory, upstream) as nginx:
            url = f"http://127.0.0.1:{nginx.port}"
            most = 0
            for i in range(20):
                got = subprocess.run(["curl", "-sS", "-i", "--data-binary", f"body {i}", f"{url}/echo"],
                                     capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
                assert got.startswith("HTTP/1.1 200") and got.endswith(f"body {i}")
                most = max(most, s.status()["connections"]["http"])
            assert most == 1, "nginx used one connection over and over"
            with connect(f"ws://127.0.0.1:{nginx.port}/ws", compression=None, origin=url) as ws:
                for i in range(1, 10):
                    ws.send("count")
                    assert ws.recv(PATIENCE) == str(i)
                assert s.status()["connections"]["websocket"] == 1
            got = subprocess.run(["curl", "-sS", "-T", "-", "-X", "POST", f"{url}/upload"], input=b"z" * 5 * MIB,
                                 capture_output=True, timeout=PATIENCE, check=True).stdout
            assert re.match(rb"5242880 [0-9a-f]{8}\n", got)

#!/usr/bin/python3
"""talk.py - two people in the chat that `./dev run` serves, with nothing but Python: the page, then a word said.

Waits for the server, for as long as there is no file ENDED; exits with 0 when the other one has heard it.

usage: tests/fresh/talk.py PORT SECONDS ENDED
"""

import base64
import os
import socket
import sys
import time
import urllib.request


def page(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/html"), answer.headers
        return answer.read().decode()


def wait_for_page(port, seconds, ended):
    end = time.monotonic() + seconds
    while True:
        try:
            return page(port)
        except OSError as error:
            if time.monotonic() > end or os.path.exists(ended):
                sys.exit(f"no page: {error}")
            time.sleep(0.5)


class Client:
    """As much of RFC 6455 as a short word needs."""

    def __init__(self, port, nick):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /chat?room=fresh&nick={nick} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        status = self.file.readline()
        assert b" 101 " in status, status
        while self.file.readline() != b"\r\n":
            pass

    def say(self, text):
        mask, data = os.urandom(4), text.encode()
        assert len(data) < 126
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self.socket.sendall(bytes([0x81, 0x80 | len(data)]) + mask + masked)

    def hear(self, text):
        """Reads messages until one has the text; the socket's timeout ends a long wait."""
        heard = ""
        while text not in heard:
            length = self.file.read(2)[1]
            if length == 126:
                length = int.from_bytes(self.file.read(2), "big")
            heard = self.file.read(length).decode()


def main():
    port, seconds, ended = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    assert "<title>Chat</title>" in wait_for_page(port, seconds, ended)
    anna, bert = Client(port, "anna"), Client(port, "bert")
    bert.hear("bert")
    anna.say("id1\tGood morning")
    bert.hear("Good morning")


if __name__ == "__main__":
    main()

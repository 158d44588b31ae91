"""Load with exact accounting: every request that was sent is one Result, whatever became of it.

The clients are asyncio's, in a thread of their own, so that a test can kill and wait meanwhile. Clocks are
time.monotonic() throughout, so that an answer can be compared with the time of a death.
"""

import asyncio
import select
import threading
import time
from dataclasses import dataclass, field

import websockets

from support.headrace import PATIENCE, wait_until


@dataclass
class Result:
    method: str
    began: float
    ended: float = 0.0
    status: int = 0  # 0: no answer
    reason: str = ""
    body: bytes = b""
    error: str = ""  # what ended it instead of an answer
    port: int = 0  # the client's end of its connection


async def read_answer(reader, method):
    """Status, headers and body of one answer with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    n = 0 if method == "HEAD" else int(headers.get("content-length", 0))
    return int(status_line.split()[1]), headers, await reader.readexactly(n)


class Background:
    """Something asynchronous that goes on in a thread while the test does something else."""

    def __init__(self):
        self.lag = 0.0  # by how much this process itself was late, at most
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self.failure = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """No further requests; waits until each one that was sent has ended."""
        self._stop.set()
        self._thread.join(PATIENCE * 3)
        assert not self._thread.is_alive(), "something hangs"
        if self.failure:
            raise self.failure

    async def _main(self):
        watch = asyncio.create_task(self._watch_lag())
        try:
            await self._work()
        except Exception as failure:  # shown by stop()
            self.failure = failure
        watch.cancel()

    async def _watch_lag(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            self.lag = max(self.lag, time.monotonic() - before - 0.005)


class Load(Background):
    """`with Load(port, ["GET /pid"], n_clients=8) as load:` keeps requesting until the end of the block.

    Each client has one connection, which it opens again when it was cut, and sends one of `requests` after the other,
    `pause` seconds after each answer. A request without an answer in time counts as hung.
    """

    def __init__(self, port, requests, n_clients=8, pause=0.01, patience=PATIENCE):
        super().__init__()
        self.port, self.requests, self.n_clients = port, requests, n_clients
        self.pause, self.patience = pause, patience
        self.results = []

    async def _work(self):
        await asyncio.gather(*(self._client(i) for i in range(self.n_clients)))

    async def _client(self, i):
        reader = writer = None
        while not self._stop.is_set():
            method, path = self.requests[i % len(self.requests)].split()
            i += 1
            result = Result(method, time.monotonic())
            self.results.append(result)
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                result.port = writer.get_extra_info("sockname")[1]
                body = b"x" if method == "POST" else b""
                head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                answer = await asyncio.wait_for(read_answer(reader, method), self.patience)
                result.status, headers, result.body = answer
                result.reason = headers.get("x-headrace-reason", "")
                if headers.get("connection") == "close":
                    writer.close()
                    writer = None
            except asyncio.TimeoutError:
                result.error = "hung"
            except (OSError, asyncio.IncompleteReadError) as error:
                result.error = type(error).__name__
            if result.error and writer:
                writer.close()
                writer = None
            result.ended = time.monotonic()
            await asyncio.sleep(self.pause)
        if writer:
            writer.close()

    # -- what became of them

    def count(self):
        """How many of each status or error: {200: 812, 502: 3}."""
        counts = {}
        for result in self.results:
            key = result.status or result.error
            counts[key] = counts.get(key, 0) + 1
        return counts

    def of(self, *statuses):
        return [result for result in self.results if (result.status or result.error) in statuses]

    def wait_for_more(self, n, status=200):
        """Until n more of them have had that answer."""
        wanted = len(self.of(status)) + n
        wait_until(lambda: len(self.of(status)) >= wanted, f"{n} more answers {status}; got {self.count()}")


@dataclass
class Sock:
    url: str
    sent: int = 0
    answers: list = field(default_factory=list)
    closed: str = ""


class Sockets(Background):
    """WebSockets that each send a numbered message after the answer to the one before.

    The application counts with them (`count` of the probe), so that a socket that stayed and whose every message was
    handled once has the answers 1, 2, 3.
    """

    def __init__(self, port, n=8, message="count", pause=0.02):
        super().__init__()
        self.url = f"ws://127.0.0.1:{port}/ws"
        self.message, self.pause = message, pause
        self.sockets = [Sock(self.url) for _ in range(n)]

    def __enter__(self):
        super().__enter__()
        wait_until(lambda: self.failure or all(sock.answers for sock in self.sockets), "the sockets to be open")
        return self

    async def _work(self):
        await asyncio.gather(*(self._client(sock) for sock in self.sockets))

    async def _client(self, sock):
        try:
            async with websockets.connect(sock.url, ping_interval=None, open_timeout=PATIENCE) as ws:
                while not self._stop.is_set():
                    sock.sent += 1
                    await ws.send(self.message)
                    sock.answers.append(int(await asyncio.wait_for(ws.recv(), PATIENCE * 2)))
                    await asyncio.sleep(self.pause)
        except (websockets.WebSocketException, OSError, asyncio.TimeoutError) as error:
            sock.closed = f"{type(error).__name__}: {error}"

    def wait_for_more(self, n=2):
        wanted = [len(sock.answers) + n for sock in self.sockets]
        wait_until(
            lambda: all(sock.closed or len(sock.answers) >= n for sock, n in zip(self.sockets, wanted)),
            f"{n} more answers on each socket",
        )

    def assert_none_dropped(self):
        assert [sock.closed for sock in self.sockets if sock.closed] == []

    def assert_each_handled_once(self):
        for sock in self.sockets:
            assert sock.answers == list(range(1, sock.sent + 1))

    def assert_none_lost(self):
        """Each message was handled, in order; one that was redelivered may have been answered twice."""
        for sock in self.sockets:
            distinct = sorted(set(sock.answers))
            assert sock.answers == sorted(sock.answers)
            assert distinct == list(range(1, len(distinct) + 1))
            assert len(distinct) >= sock.sent - (len(sock.answers) - len(distinct))


def wait_for_death(pidfd):
    """When the process of a pidfd ended."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    assert poller.poll(PATIENCE * 1000), "the process did not end"
    return time.monotonic()

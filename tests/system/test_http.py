"""Promises to HTTP clients: curl, raw sockets, slow ones and early leavers."""

import contextlib
import os
import re
import socket
import stat
import subprocess
import time
import zlib

import pytest

from support.headrace import BUILD, PATIENCE, free_port, read_proc, wait_until
from support.memory import MemoryWatch

MIB = 1 << 20
BLOCK = 64 << 10


def curl(*words, check=True, **options):
    command = ["curl", "--silent", "--show-error", "--max-time", str(PATIENCE * 2), *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, check=check, **options)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def receive(sock, n):
    """That many bytes, or what came before the end."""
    got = b""
    while len(got) < n:
        piece = sock.recv(65536)
        if not piece:
            break
        got += piece
    return got


def receive_all(sock):
    return receive(sock, 1 << 30)


def exchange(port, request):
    """All that comes back on a connection whose last request says close."""
    with connect(port) as sock:
        sock.sendall(request)
        return receive_all(sock)


@pytest.fixture(scope="module")
def big_file(tmp_path_factory):
    """100 MiB that do not repeat, and their crc."""
    path = tmp_path_factory.mktemp("upload") / "big"
    crc = 0
    with path.open("wb") as file:
        for i in range(100):
            piece = i.to_bytes(4, "big") * (MIB // 4)
            crc = zlib.crc32(piece, crc)
            file.write(piece)
    yield path, crc
    path.unlink()


# ---- requests


def test_curl_keeps_one_connection_for_two_urls(site):
    with site() as s:
        got = curl("-w", "%{num_connects} ", f"{s.url}/version", f"{s.url}/version").stdout
        assert got == b"version 1\n1 version 1\n0 "


def test_with_the_memory_layer_one_process_is_the_whole_site(tmp_path):
    port = free_port()
    command = [BUILD / "headrace", "run", "--layer", "memory:", "--port", str(port), BUILD / "tests/system/probe.so"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
    try:
        wait_until(lambda: curl(f"http://127.0.0.1:{port}/pid", check=False).stdout == b"%d\n" % process.pid, "an answer")
        assert read_proc(process.pid, f"task/{process.pid}/children") == []
        got = curl("-T", "-", "-X", "POST", f"http://127.0.0.1:{port}/upload", input=b"m" * 5 * MIB).stdout
        assert got.startswith(b"5242880 ")
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_pipelined_requests_are_answered_in_order(site):
    with site("-w", 2) as s:
        paths = [f"/slow?ms={ms}" for ms in (80, 5, 40)] + ["/version", "/nothing"]
        requests = "".join(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n" for path in paths)
        got = exchange(s.port, (requests + "GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").encode())
        statuses = [int(word) for word in re.findall(rb"HTTP/1\.1 (\d+)", got)]
        assert statuses == [200, 200, 200, 200, 404, 200]
        assert got.index(b"version 1") > got.index(b"text/plain")
        taken = [line["path"].split("?")[0] for line in wait_until(lambda: s.requests()[5:] and s.requests(), "6 lines")]
        assert taken == ["/slow", "/slow", "/slow", "/version", "/nothing", "/version"]


def test_bytes_that_come_one_by_one_make_the_same_request(site):
    with site() as s, connect(s.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc":
            sock.sendall(bytes([byte]))
        assert receive_all(sock).endswith(b"\r\n\r\nabc")


def test_chunked_and_counted_bodies_reach_the_application_alike(site, tmp_path):
    body = bytes(range(256)) * 2000  # more than travels in the first message
    (tmp_path / "body").write_bytes(body)
    with site() as s:
        for header in ("Transfer-Encoding: chunked", "X-None: 0"):
            got = curl("--data-binary", f"@{tmp_path}/body", "-H", header, "-H", "Expect:", f"{s.url}/echo").stdout
            assert got == body


def test_a_body_over_the_limit_is_413(site):
    with site("--max-body", "64KiB") as s:
        request = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\nConnection: close\r\n\r\n"
        assert exchange(s.port, request).startswith(b"HTTP/1.1 413")


def test_expect_100_continue_is_answered_before_the_body(site):
    with site() as s:
        got = curl("-v", "-H", "Expect: 100-continue", "--data-binary", "x" * 2000, f"{s.url}/echo")
        assert b"HTTP/1.1 100" in got.stderr
        assert got.stdout == b"x" * 2000
        assert b"timeout" not in got.stderr.lower() or b"Done waiting" not in got.stderr


def test_head_has_the_length_and_no_body(site):
    with site() as s:
        got = exchange(s.port, b"HEAD /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        head, body = got.split(b"\r\n\r\n")
        assert body == b""
        assert b"content-length: 10" in head.lower()


def test_http_1_0_is_answered_and_closed(site):
    with site() as s:
        got = exchange(s.port, b"GET /version HTTP/1.0\r\n\r\n")
        assert got.startswith(b"HTTP/1.") and got.endswith(b"version 1\n")


def test_nonsense_is_400_and_closed(site):
    with site() as s:
        for nonsense in (
            b"GET / HTTP/1.1\r\n\r\n",  # no Host
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"hello\r\n\r\n",
        ):
            assert exchange(s.port, nonsense).startswith(b"HTTP/1.1 400"), nonsense


# ---- large bodies and bounded memory


def test_100_mib_upload_leaves_every_process_small(site, big_file):
    path, crc = big_file
    with site() as s:
        curl("-X", "POST", "-T", path, "-H", "Transfer-Encoding: chunked", f"{s.url}/upload?n=small", input=b"x")
        pids = [s.process.pid, *s.children()]
        with MemoryWatch(pids) as watch:
            got = curl("-T", path, "-X", "POST", "-H", "Transfer-Encoding: chunked", f"{s.url}/upload").stdout
        assert got == f"{100 * MIB} {crc:08x}\n".encode()
        assert max(watch.growth().values()) < 4 * MIB, watch.growth()
        print("growth of", len(pids), "processes:", sorted(watch.growth().values()))


def test_a_slow_consumer_slows_its_client_down(site, big_file):
    path, crc = big_file
    with site("-w", 1) as s:
        pids = [s.process.pid, *s.children()]
        began = time.monotonic()
        with MemoryWatch(pids) as watch:
            got = curl("-T", path, "-X", "POST", "-H", "Transfer-Encoding: chunked", f"{s.url}/upload?us=1500").stdout
        took = time.monotonic() - began
        assert got == f"{100 * MIB} {crc:08x}\n".encode()
        assert took > 100 * MIB / BLOCK * 0.0015, "pieces are at most 64 KiB"
        assert max(watch.growth().values()) < 4 * MIB, watch.growth()


def test_a_consumer_that_hardly_reads_stops_its_client(site):
    """Backpressure reaches the client: it can send no more than windows and kernel buffers hold."""
    with site("-w", 1) as s, connect(s.port) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sock.sendall(b"POST /upload?us=400000 HTTP/1.1\r\nHost: h\r\nContent-Length: 52428800\r\n\r\n")
        sock.settimeout(0.1)
        sent, end = 0, time.monotonic() + 1.2
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                sent += sock.send(b"x" * BLOCK)
        assert BLOCK < sent < 4 * MIB
        print("sent before it stopped:", sent)


def test_a_slow_reader_of_100_mib_costs_little_memory(site):
    with site() as s, connect(s.port) as sock:
        pids = [s.process.pid, *s.children()]
        with MemoryWatch(pids) as watch:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            request = f"GET /download?bytes={100 * MIB} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            sock.sendall(request.encode())
            time.sleep(1)  # the reader's slowness is what is tested
            body = self_made = 0
            got = bytearray()
            while piece := sock.recv(1 << 18):
                got += piece
                if self_made < 5 and len(got) > self_made * 20 * MIB:
                    self_made += 1
                    time.sleep(0.1)
            body = decode_chunked(got)
        assert len(body) == 100 * MIB
        assert all(body[i * BLOCK] == i & 0xFF and body[i * BLOCK + BLOCK - 1] == i & 0xFF for i in range(1600))
        assert max(watch.growth().values()) < 4 * MIB, watch.growth()
        print("growth:", sorted(watch.growth().values()))


def decode_chunked(got):
    head, at = bytes(got[:4096]).split(b"\r\n\r\n")[0], got.index(b"\r\n\r\n") + 4
    assert b"transfer-encoding: chunked" in head.lower()
    body = bytearray()
    while True:
        end = got.index(b"\r\n", at)
        size = int(got[at:end], 16)
        if size == 0:
            return body
        body += got[end + 2 : end + 2 + size]
        at = end + 2 + size + 2


# ---- clients that leave


def test_a_client_that_leaves_while_queued_is_never_seen_by_a_worker(site):
    with site("-w", 1) as s:
        with connect(s.port) as busy, connect(s.port) as leaver:
            busy.sendall(b"GET /block?ms=2000&tag=busy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            s.wait_for_output("taken busy")
            leaver.sendall(b"GET /slow?tag=leaver HTTP/1.1\r\nHost: h\r\n\r\n")
            wait_until(lambda: s.channel("http.request.web")["waiting"] == 1, "the second request to be queued")
            leaver.close()
            assert b"200 OK" in receive_all(busy)
        got = exchange(s.port, b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert got.endswith(b"version 1\n")
        assert s.output("taken leaver") == []
        assert s.channel("http.request.web")["dropped"] == {"stale": 1}


def test_a_client_that_leaves_while_running_is_told_to_the_worker(site):
    with site() as s:
        with connect(s.port) as sock:
            sock.sendall(b"GET /slow?ms=10000&tag=leaver HTTP/1.1\r\nHost: h\r\n\r\n")
            s.wait_for_output("taken leaver")
        s.wait_for_output("gone leaver")


def test_a_client_that_leaves_a_download_ends_it(site):
    with site() as s:
        with connect(s.port) as sock:
            sock.sendall(f"GET /download?bytes={100 * MIB} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            receive(sock, BLOCK)
        s.wait_for_output("gone download")


# ---- overload


def test_a_request_that_nobody_takes_in_time_is_503_with_its_reason(site):
    options = ("-w", 1, "--pool", "web.queue_timeout=300ms", "--expose-reason")
    with site(*options) as s, connect(s.port) as busy:
        busy.sendall(b"GET /block?ms=1200&tag=busy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        s.wait_for_output("taken busy")
        began = time.monotonic()
        got = exchange(s.port, b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").lower()
        took = time.monotonic() - began
        assert got.startswith(b"http/1.1 503")
        assert b"retry-after:" in got and b"x-headrace-reason: queue_timeout" in got
        assert 0.25 < took < 1
        assert b"200 OK" in receive_all(busy)
        assert s.requests(status=503, reason="queue_timeout")


def test_a_full_channel_is_503_with_its_reason(site):
    n = 12
    options = ("-w", 1, "--expose-reason", "--set", "channel.http.request.web.capacity=4")
    with site(*options) as s, connect(s.port) as busy:
        busy.sendall(b"GET /block?ms=1000&tag=busy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        s.wait_for_output("taken busy")
        socks = [connect(s.port) for _ in range(n)]
        for sock in socks:
            sock.sendall(b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answers = [receive_all(sock) for sock in socks]
        refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503")]
        assert len(refused) == n - 4
        assert all(b"x-headrace-reason: queue_full" in answer.lower() for answer in refused)
        assert len([answer for answer in answers if answer.startswith(b"HTTP/1.1 200")]) == 4
        for sock in socks:
            sock.close()
        receive_all(busy)


def test_an_arena_that_is_used_up_grows_and_refuses_nobody(site):
    sizes = ("size=4MiB", "client_slots=16", "server_slots=2", "server_inbox=256", "server_connections=256",
             "server_interests=64", "worker_slots=4", "worker_inbox=64", "worker_connections=64", "channels=32")
    options = [word for size in sizes for word in ("--set", f"layer.{size}")]
    with site("-w", 1, "--server-processes", 1, "--expose-reason", *options) as s, connect(s.port) as busy:
        before = s.status()["bytes_total"]
        busy.sendall(b"GET /block?ms=1500&tag=busy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        s.wait_for_output("taken busy")
        body = b"x" * 60000
        request = b"POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n" + body
        socks = [connect(s.port) for _ in range(60)]
        for sock in socks:
            sock.sendall(request)
        for sock in socks:
            answer = receive_all(sock)
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(body)
            sock.close()
        receive_all(busy)
        assert s.status()["bytes_total"] > before + (3 << 20)


def test_a_full_arena_is_503_with_its_reason_and_empties_again(site, tmp_path):
    sizes = ("size=4MiB", "max_size=4MiB", "client_slots=16", "server_slots=2", "server_inbox=256", "server_connections=256",
             "server_interests=64", "worker_slots=4", "worker_inbox=64", "worker_connections=64", "channels=32")
    options = [word for size in sizes for word in ("--set", f"layer.{size}")] + ["--set", "channel.*.capacity=256", "--set", "channel.*.max_bytes=1GiB"]
    with site("-w", 1, "--server-processes", 1, "--expose-reason", *options) as s, connect(s.port) as busy:
        busy.sendall(b"GET /block?ms=1500&tag=busy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        s.wait_for_output("taken busy")
        body = b"x" * 60000
        request = b"POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n" + body
        socks = [connect(s.port) for _ in range(60)]
        for sock in socks:
            sock.sendall(request)
        answers = [receive_all(sock) for sock in socks]
        refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503")]
        served = [answer for answer in answers if answer.startswith(b"HTTP/1.1 200") and answer.endswith(body)]
        assert len(refused) + len(served) == 60 and refused and served
        reasons = {re.search(rb"x-headrace-reason: (\w+)", answer.lower()).group(1) for answer in refused}
        assert reasons == {b"arena_full"}
        for sock in socks:
            sock.close()
        receive_all(busy)
        print("served", len(served), "refused", len(refused), "of 60 in", s.status()["bytes_total"])


def test_a_worker_that_hangs_is_504_and_is_replaced(site):
    options = ("-w", 1, "--pool", "web.timeout=400ms", "--pool", "web.drain=500ms", "--expose-reason")
    with site(*options) as s:
        old = s.ready()
        began = time.monotonic()
        got = exchange(s.port, b"GET /block?ms=60000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        took = time.monotonic() - began
        assert got.startswith(b"HTTP/1.1 504") and b"x-headrace-reason: timeout" in got.lower()
        assert 0.395 <= took < 1.0  # the layer stamps a take with a clock of 4 ms steps
        s.wait_for_workers("web", 1, without=old)
        assert curl(f"{s.url}/version").stdout == b"version 1\n"
        print("504 after", round(took * 1000), "ms")


# ---- listeners, files, ids, logs


def test_unix_sockets_and_several_listeners_serve_the_same_site(site, tmp_path):
    path, port = tmp_path / "http.sock", free_port()
    with site("--bind", f"unix:{path}", "--bind", f"127.0.0.1:{port}") as s:
        assert stat.S_ISSOCK(path.stat().st_mode)
        for _ in range(4):
            assert curl("--unix-socket", path, "http://site/version").stdout == b"version 1\n"
            assert curl(f"http://127.0.0.1:{port}/version").stdout == b"version 1\n"
            assert curl(f"{s.url}/version").stdout == b"version 1\n"


def test_a_static_route_serves_files_without_a_worker(site, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.css").write_text("body {}\n")
    (files / ".secret").write_text("secret")
    (tmp_path / "outside").write_text("outside")
    with site("--static", f"/static/={files}", "-w", 1) as s:
        s.kill(s.pids("worker")[0], 19)  # SIGSTOP: no worker is asked
        got = curl("-i", f"{s.url}/static/a.css").stdout.decode()
        assert got.endswith("body {}\n") and "text/css" in got
        etag = re.search(r"(?i)etag: (\S+)", got).group(1)
        assert " 304 " in curl("-i", "-H", f"If-None-Match: {etag}", f"{s.url}/static/a.css").stdout.decode().split("\n")[0]
        assert "Content-Length: 8" in curl("-I", f"{s.url}/static/a.css").stdout.decode()
        for path in ("/static/none", "/static/.secret", "/static/../outside", "/static/%2e%2e/outside"):
            got = curl("--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", f"{s.url}{path}").stdout
            assert got in (b"404", b"400", b"403"), path
        s.kill(s.pids("worker")[0], 18)


def test_a_request_id_is_made_or_taken_and_is_the_same_everywhere(site):
    with site() as s:
        made = curl("-i", f"{s.url}/echo").stdout.decode().lower()
        returned = re.search(r"x-request-id: (\S+)", made).group(1)
        assert re.search(r"x-seen-id: (\S+)", made).group(1) == returned
        wait_until(lambda: s.requests(request_id=returned), "its line in the log")
        taken = curl("-i", "-H", "X-Request-Id: abc-123", f"{s.url}/echo").stdout.decode().lower()
        assert "x-seen-id: abc-123" in taken and "x-request-id: abc-123" in taken
        wait_until(lambda: s.requests(request_id="abc-123"), "its line in the log")


def test_the_access_log_has_the_promised_fields(site):
    with site() as s:
        curl("--data-binary", "abc", f"{s.url}/echo?q=1", "-H", "traceparent: 00-" + "a" * 32 + "-" + "b" * 16 + "-01")
        curl(f"{s.url}/slow?ms=60")
        echo = wait_until(lambda: s.requests(method="POST"), "the line")[0]
        assert {"ts", "level", "event", "request_id", "trace_id", "client", "method", "host", "path", "status",
                "bytes_in", "bytes_out", "total_ms", "pool", "protocol"} <= echo.keys()
        assert (echo["bytes_in"], echo["bytes_out"], echo["status"], echo["pool"]) == (3, 3, 200, "web")
        assert echo["client"].startswith("127.0.0.1") and echo["trace_id"] == "a" * 32
        slow = wait_until(lambda: s.requests(method="GET"), "the line")[0]
        assert slow["worker"].startswith("web.") and slow["queue_ms"] >= 0
        assert 50 <= slow["app_ms"] <= slow["total_ms"] < 1000


# ---- the admin listener


METRIC = re.compile(r'^[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*"(,|(?=\})))*\})? -?([0-9.]+([eE][-+]?[0-9]+)?|\+Inf|NaN)$')


def test_metrics_are_valid_exposition_text_with_the_promised_names(site):
    port = free_port()
    with site("--admin", f"127.0.0.1:{port}") as s:
        for _ in range(3):
            curl(f"{s.url}/version")
        curl(f"{s.url}/slow?ms=60")
        text = curl(f"http://127.0.0.1:{port}/metrics").stdout.decode()
        families = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                families[line.split()[2]] = line.split()[3]
            elif not line.startswith("#"):
                assert METRIC.match(line), line
                base = re.sub(r"_(bucket|sum|count)$", "", line.split("{")[0].split(" ")[0])
                assert base in families or line.split("{")[0].split(" ")[0] in families, line
        names = ("requests_total queue_seconds run_seconds channel_depth channel_oldest_seconds dropped_total workers "
                 "worker_exits_total connections arena_bytes dead_letters loop_lag_seconds")
        assert {f"headrace_{name}" for name in names.split()} <= families.keys()
        assert 'headrace_requests_total{pool="web",code="200",reason=""} 4' in text
        assert 'headrace_workers{pool="web",state="ready"} 2' in text
        for name in ('queue_seconds_count{channel="http.request.web"}', 'run_seconds_count{pool="web"}'):
            assert f"headrace_{name} 4" in text, "each request is measured"


def test_healthz_and_readyz_tell_live_from_ready(site):
    port = free_port()
    admin = f"http://127.0.0.1:{port}"
    with site("--admin", f"127.0.0.1:{port}", "-w", 1) as s:
        def code(path):
            return curl("-o", "/dev/null", "-w", "%{http_code}", f"{admin}{path}").stdout

        assert (code("/healthz"), code("/readyz"), code("/other")) == (b"200", b"200", b"404")
        assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{s.url}/healthz").stdout == b"404"
        s.kill(s.process.pid, 19)  # SIGSTOP: nobody restarts the worker
        try:
            s.kill_workers()
            wait_until(lambda: code("/readyz") == b"503", "not ready without workers")
            assert code("/healthz") == b"200"
        finally:
            s.kill(s.process.pid, 18)
        wait_until(lambda: code("/readyz") == b"200", "ready again")

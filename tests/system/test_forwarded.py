"""Behind a proxy the application and the log see the client, and clients cannot make themselves another."""

import http.client
import re
from functools import partial

import pytest

from support.headrace import PATIENCE, wait_until
from support.nginx import Nginx

# As most configurations have it: what a client sends is kept, its address put behind.
APPENDING = """
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto https;
    proxy_set_header X-Forwarded-Host $http_host;
"""


def ask(port, **headers):
    """What the application has seen: client, scheme, server."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/echo", headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    seen = answer.getheader("X-Client"), answer.getheader("X-Scheme"), answer.getheader("X-Server")
    connection.close()
    return seen


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_behind_nginx_the_client_is_the_one_that_nginx_saw(site, tmp_path, family):
    directory = tmp_path / "nginx"
    directory.mkdir()
    bind = ["--bind", f"unix:{tmp_path}/up.sock"] if family == "unix" else []
    trusted = ["--forwarded-allow-ips", "unix, 127.0.0.2"]
    with site("--server-processes", 1, *bind, *trusted) as s:
        upstream = f"unix:{tmp_path}/up.sock" if family == "unix" else f"127.0.0.1:{s.port}"
        more = APPENDING + ("" if family == "unix" else "proxy_bind 127.0.0.2;")
        with Nginx(directory, upstream, more) as nginx:
            seen = ("127.0.0.1 0", "https", f"127.0.0.1 {nginx.port}")
            honest = partial(ask, nginx.port)
            assert honest() == seen
            assert honest(X_Forwarded_For="6.6.6.6") == seen
            assert honest(X_Forwarded_For="6.6.6.6, 127.0.0.2", X_Forwarded_Proto="http") == seen
            assert honest(Forwarded="for=6.6.6.6;proto=http;host=evil") == seen, "which nginx passes on"
            assert honest(Host="shop.example")[2] == "shop.example 443"
        line = wait_until(lambda: s.requests(host="shop.example"), "its line")[0]
        assert line["client"] == "127.0.0.1"


def test_who_is_not_trusted_is_not_believed(site):
    with site("--server-processes", 1, "--forwarded-allow-ips", "10.0.0.0/8") as s:
        client, scheme, server = ask(s.port, X_Forwarded_For="6.6.6.6", X_Forwarded_Proto="https", X_Forwarded_Host="evil")
        assert re.fullmatch(r"127\.0\.0\.1 [1-9]\d*", client) and scheme == "http" and server == f"127.0.0.1 {s.port}"
    with site("--server-processes", 1, "--no-proxy-headers") as s:
        assert ask(s.port, X_Forwarded_For="6.6.6.6", X_Forwarded_Proto="https")[1] == "http"


def test_the_environment_names_the_proxies_too(site):
    with site("--server-processes", 1, env={"FORWARDED_ALLOW_IPS": "*"}) as s:
        assert ask(s.port, X_Forwarded_For="6.6.6.6, 5.5.5.5:99")[0] == "6.6.6.6 0"
        assert ask(s.port, Forwarded='for="[2001:db8::1]:99";proto=https') == (
            "2001:db8::1 99",
            "https",
            f"127.0.0.1 {s.port}",
        )
        assert wait_until(lambda: s.requests(client="2001:db8::1"), "its line")


@pytest.mark.parametrize("wrong", ["localhost", "10.0.0.0/33", "::1/x"])
def test_a_proxy_that_cannot_be_read_is_named(site, wrong):
    s = site()
    got = s.run("check", "--forwarded-allow-ips", wrong, check=False)
    assert got.returncode == 2 and f"'{wrong}'" in got.stderr

"""nginx and HAProxy in front of a site, each as lenient and as sparing with connections as it can be told to be.

`with Nginx(directory, site.port) as proxy:` runs it on `proxy.port`. What it took for requests stands in its log.
"""

import re
import shutil
import socket
import subprocess
from dataclasses import dataclass

from support.headrace import PATIENCE, free_port, wait_until

NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 256; }}
http {{
    log_format seen '$remote_port $status $request_method $request_uri';
    access_log {directory}/access.log seen;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    underscores_in_headers on;
    ignore_invalid_headers off;
    merge_slashes off;
    client_header_timeout 5s;
    client_body_timeout 5s;
    upstream site {{ server 127.0.0.1:{upstream}; keepalive 1; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://site;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_request_buffering off;
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    log stdout format raw local0
defaults
    mode http
    log global
    log-format "%cp %ST %HM %HU"
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    http-reuse always
frontend everyone
    bind 127.0.0.1:{port}
    option accept-invalid-http-request
    default_backend site
backend site
    server site 127.0.0.1:{upstream}
"""

AUTHORITY = re.compile(r"^https?://[^/?]*", re.IGNORECASE)


@dataclass
class Logged:
    """A request as the proxy understood it."""

    client: int  # the port
    status: int
    line: str  # METHOD TARGET, as the application would say it


def read_log_line(line):
    words = line.split(" ", 3)
    if len(words) < 4 or not (words[0].isdigit() and words[1].isdigit()):
        return None
    target = AUTHORITY.sub("", words[3])
    return Logged(int(words[0]), int(words[1]), f"{words[2]} {target if target.startswith('/') else '/' + target}")


class Proxy:
    log_name = program = ""

    def __init__(self, directory, upstream):
        self.directory = directory
        self.port = free_port()
        self.config = directory / f"{self.program}.conf"
        self.config.write_text(self.template.format(directory=directory, port=self.port, upstream=upstream))
        self.log_path = directory / self.log_name
        self.process = None
        self.read_from = 0

    def __enter__(self):
        path = shutil.which(self.program, path="/usr/sbin:/usr/bin:/sbin:/bin")
        assert path, f"{self.program} is not installed"
        with (self.directory / "output").open("wb") as output:
            self.process = subprocess.Popen([path, *self.options()], stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until(self.is_listening, f"{self.program} to listen")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE)

    def is_listening(self):
        assert self.process.poll() is None, (self.directory / "output").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def forget(self):
        """What is logged so far is of no interest any more."""
        self.read_from = self.log_path.stat().st_size

    def logged(self):
        with self.log_path.open(errors="replace") as log:
            log.seek(self.read_from)
            lines = [read_log_line(line.rstrip("\n")) for line in log]
        return [line for line in lines if line]


class Nginx(Proxy):
    program, log_name, template = "nginx", "access.log", NGINX

    def options(self):
        return "-e", self.directory / "error.log", "-p", self.directory, "-c", self.config


class Haproxy(Proxy):
    program, log_name, template = "haproxy", "output", HAPROXY

    def options(self):
        return "-db", "-f", self.config

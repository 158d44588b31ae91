"""A real nginx in front of a site."""

import os
import signal
import socket
import subprocess
import textwrap

from support.headrace import PATIENCE, free_port, wait_until


class Nginx:
    """One of our own, on a free port, with `upstream` behind it. `more` goes into its location."""

    def __init__(self, directory, upstream, more="proxy_set_header X-Forwarded-For $remote_addr;"):
        self.port = free_port()
        self.directory = directory
        user = "user root; " if os.getuid() == 0 else ""  # may enter the test's directory
        (directory / "nginx.conf").write_text(
            textwrap.dedent(f"""
                {user}daemon off;
                worker_processes 1;
                pid {directory}/pid;
                error_log {directory}/error.log;
                events {{ worker_connections 64; }}
                http {{
                    access_log {directory}/access.log;
                    client_body_temp_path {directory}/body;
                    proxy_temp_path {directory}/proxy;
                    fastcgi_temp_path {directory}/fastcgi;
                    uwsgi_temp_path {directory}/uwsgi;
                    scgi_temp_path {directory}/scgi;
                    client_max_body_size 0;
                    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
                    upstream site {{ server {upstream}; keepalive 4; }}
                    server {{
                        listen 127.0.0.1:{self.port};
                        location / {{
                            proxy_pass http://site;
                            proxy_http_version 1.1;
                            proxy_request_buffering off;
                            proxy_set_header Host $http_host;
                            {more}
                            proxy_set_header Upgrade $http_upgrade;
                            proxy_set_header Connection $connection_upgrade;
                        }}
                    }}
                }}
            """)
        )

    def __enter__(self):
        config = self.directory / "nginx.conf"
        self.process = subprocess.Popen(["nginx", "-p", self.directory, "-c", config, "-e", self.directory / "error.log"])
        wait_until(self._is_up, "nginx to listen")
        return self

    def _is_up(self):
        assert self.process.poll() is None, (self.directory / "error.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(PATIENCE)

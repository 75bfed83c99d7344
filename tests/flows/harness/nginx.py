"""nginx from Debian as an origin: own config, own folder, as whoever runs the tests."""

import os
import pathlib
import shutil
import signal
import socket
import tempfile

from .process import Process, eventually, free_port

# /store/   PUT, GET, DELETE of files (bodies with Content-Length)
# /chunked/ the same files with a length that nginx does not know, so chunked: sub_filter
#           might change the body and therefore drops Content-Length (it looks for a word
#           that no body has)
# /small    64 bytes
CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /small {{ return 200 "{small}"; }}
        location /store/ {{
            alias {folder}/files/;
            dav_methods PUT DELETE;
            create_full_put_path on;
        }}
        location /chunked/ {{
            alias {folder}/files/;
            sub_filter_types *;
            sub_filter "never-in-a-random-body-0f3a9c" "x";
        }}
    }}
    {more}
}}
"""
SMALL = "s" * 64


class Nginx:
    """`more` are servers of one's own; FOLDER in it stands for its folder."""

    def __init__(self, more=""):
        self.more = more
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ringway-nginx-"))
        self.files = self.folder / "files"
        self.files.mkdir()

    def __enter__(self):
        for _ in range(3):
            self.port = free_port()
            if self.start():
                self.url = f"http://127.0.0.1:{self.port}"
                return self
        raise AssertionError("nginx does not start: " + self.process.stderr)

    def start(self):
        """On self.port; may be called again after end(). False when it did not come up."""
        conf = self.folder / "nginx.conf"
        conf.write_text(CONFIG.format(folder=self.folder, port=self.port, small=SMALL,
                                      more=self.more.replace("FOLDER", str(self.folder)),
                                      user="user root;" if os.geteuid() == 0 else ""))
        self.process = Process(["/usr/sbin/nginx", "-c", conf, "-p", self.folder,
                                "-e", self.folder / "start.log"], self.folder, "nginx")
        return eventually(lambda: not self.process.running() or self._listens()) \
            and self.process.running()

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self):
        """Ends it and its workers at once, in the middle of what they do."""
        if self.process.running():
            self.process.signal(signal.SIGTERM)
            self.process.wait()

    def __exit__(self, *_):
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

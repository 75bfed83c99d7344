"""TLS towards upstreams: nginx and Python's ssl as origins, real certificates."""

import contextlib
import hashlib
import os
import socket
import ssl
import threading
import time

import pytest

from harness.certs import Authority
from harness.client import RawClient
from harness.nginx import SMALL, Nginx
from harness.process import eventually, free_port, patience
from harness.ringway import Ringway

# plain: what it would be without any demand; asking: with client certificates.
NGINX_TLS = """
    log_format tls '$request_uri $ssl_server_name $ssl_session_reused $ssl_protocol $connection '
                   '$ssl_client_s_dn';
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {site.cert};
        ssl_certificate_key {site.key};
        ssl_protocols {protocols};
        ssl_session_cache {cache};
        ssl_session_tickets {tickets};
        {more}
        access_log FOLDER/tls.log tls;
        location = /small {{ return 200 "{small}"; }}
        location = /close {{ keepalive_timeout 0; return 200 "{small}"; }}
        location /store/ {{
            alias FOLDER/files/;
            dav_methods PUT DELETE;
            create_full_put_path on;
        }}
    }}
"""


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), name="another root")


@pytest.fixture(scope="module")
def site(ca):
    return ca.issue("origin.test", ["localhost", "127.0.0.1", "origin.test", "*.wild.test"])


@contextlib.contextmanager
def nginx_with_tls(site, protocols="TLSv1.2 TLSv1.3", cache="none", tickets="on", more=""):
    port = free_port()
    with Nginx(NGINX_TLS.format(port=port, site=site, protocols=protocols, cache=cache,
                                tickets=tickets, more=more, small=SMALL)) as nginx:
        nginx.tls_port = port
        nginx.tls_log = lambda: [dict(zip(
            ("path", "name", "reused", "version", "connection", "client"), line.split(None, 5)))
            for line in (nginx.folder / "tls.log").read_text().splitlines()]
        yield nginx


def service(port, tls="", host="127.0.0.1", more=""):
    """One that is at https://; `tls` is YAML of its mapping, on one line."""
    return f"""
up:
  url: https://{host}:{port}
  tls: {{{tls}}}
  {more}
  routes: [{{path: "/*", max_body: 64MiB}}]
""" if tls else f"""
up:
  url: https://{host}:{port}
  {more}
  routes: [{{path: "/*", max_body: 64MiB}}]
"""


class TlsOrigin:
    """Python's ssl; `script(conn)` for each connection whose handshake has ended well. Names
    that clients asked for are in `names`, errors of handshakes in `errors`."""

    def __init__(self, certificate, script, *, client_ca=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.cert, certificate.key)
        self.context.sni_callback = lambda s, name, ctx: self.names.append(name)
        if client_ca:
            self.context.load_verify_locations(client_ca.cert)
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.script = script
        self.names = []
        self.errors = []
        self.handshakes = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.settimeout(patience(10))
        try:
            with self.context.wrap_socket(sock, server_side=True) as conn:
                self.handshakes += 1
                self.script(conn)
        except OSError as error:
            self.errors.append(str(error))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def read_head(conn):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = conn.recv(4096)
        if not piece:
            return b""
        head += piece
    return head


def answer_all(conn):
    while read_head(conn):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def get(gateway, path="/small"):
    with RawClient(gateway.port) as client:
        return client.get(path)


def refused(gateway, status, cause):
    answer = get(gateway)
    assert answer.status == status
    assert gateway.record(cause=cause)["status"] == status


# ---- answers ----

@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_a_request_over_tls(ca, site, version):
    with nginx_with_tls(site, version) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        assert get(gateway).body == SMALL.encode()
        assert gateway.record(path="/small")["connect_us"] > 0
        (line,) = nginx.tls_log()
        assert line["version"] == version
        assert line["name"] == "-"  # an address is no name


def test_an_rsa_certificate(ca):
    rsa = ca.issue("rsa", ["127.0.0.1"], kind="rsa")
    with nginx_with_tls(rsa) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        assert get(gateway).body == SMALL.encode()


def test_a_connection_is_kept(ca, site):
    with nginx_with_tls(site) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        for _ in range(50):
            assert get(gateway).body == SMALL.encode()
        assert len({line["connection"] for line in nginx.tls_log()}) == 1


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_large_bodies_arrive_equal_both_ways(ca, site, version):
    with nginx_with_tls(site, version) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        for size in (1, 16383, 16384, 16385, 1 << 20, 5_000_003):
            body = os.urandom(size)
            with RawClient(gateway.port) as client:
                client.send(f"PUT /store/{size} HTTP/1.1\r\nHost: a\r\n"
                            f"Content-Length: {size}\r\n\r\n".encode() + body)
                assert client.response().status == 201
                stored = (nginx.files / str(size)).read_bytes()
                assert hashlib.sha256(stored).digest() == hashlib.sha256(body).digest()
                got = client.get(f"/store/{size}").body
                assert hashlib.sha256(got).digest() == hashlib.sha256(body).digest()

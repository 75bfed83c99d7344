"""TLS towards clients: real clients, real certificates, the real binary."""

import contextlib
import hashlib
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

from harness.certs import Authority
from harness.client import RawClient
from harness.origin import Origin
from harness.process import eventually, free_port, patience
from harness.ringway import Ringway, command

HELLO = """
hello:
  respond: {status: 200, body: "hello\\n"}
  routes: [{path: /hello}]
"""


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def site(ca):
    return ca.issue("a.test", ["a.test", "*.b.test", "localhost"])


@pytest.fixture(scope="module")
def site_rsa(ca):
    return ca.issue("a-rsa.test", ["a.test", "*.b.test", "localhost"], kind="rsa")


class Tls(Ringway):
    """A gateway with one TLS listener more; `tls` is YAML of its mapping, on one line."""

    def __init__(self, certificates, services=HELLO, *, tls="", listener="", top="", **options):
        pairs = ", ".join(f"{{cert: {c.cert}, key: {c.key}}}" for c in certificates)
        self.tls_port = free_port()
        extra = f", {tls}" if tls else ""
        more = f", {listener}" if listener else ""
        super().__init__(services, top=f"""
listeners:
  - {{name: secure, address: "127.0.0.1:{self.tls_port}"{more}, tls: {{certificates: [{pairs}]{extra}}}}}
{top}
""", **options)



def context(ca, low=ssl.TLSVersion.TLSv1_2, high=ssl.TLSVersion.TLSv1_3):
    made = ssl.create_default_context(cafile=ca.cert)
    made.minimum_version = low
    made.maximum_version = high
    return made


@contextlib.contextmanager
def connected(port, ctx, name="a.test", session=None):
    with socket.create_connection(("127.0.0.1", port), timeout=patience(5)) as raw:
        with ctx.wrap_socket(raw, server_hostname=name, session=session) as s:
            yield s


def ask(s, path="/hello", host="a.test", more=""):
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        piece = s.recv(65536)
        assert piece, got
        got += piece
    head, body = got.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    while len(body) < length:
        piece = s.recv(65536)
        assert piece, "cut off"
        body += piece
    return int(head.split()[1]), body


def s_client(port, *options, say=b"", ca=None, timeout_s=10):
    trust = ["-CAfile", str(ca.cert)] if ca else []
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof",
                           *trust, *options], input=say, capture_output=True,
                          timeout=patience(timeout_s))


GET = b"GET /hello HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("version,flag", [("TLSv1.3", "--tlsv1.3"), ("TLSv1.2", "--tls-max")])
def test_curl_gets_an_answer(ca, site, version, flag):
    options = [flag] if flag == "--tlsv1.3" else [flag, "1.2"]
    with Tls([site]) as gateway:
        got = subprocess.run(["curl", "-sS", "--fail", "--cacert", ca.cert, *options,
                              "--resolve", f"a.test:{gateway.tls_port}:127.0.0.1",
                              f"https://a.test:{gateway.tls_port}/hello"],
                             capture_output=True, timeout=patience(10))
        assert (got.returncode, got.stdout) == (0, b"hello\n"), got.stderr
        tls = gateway.record(path="/hello")["tls"]
        assert tls["version"] == version
        assert tls["server_name"] == "a.test"
        assert tls["resumed"] is False
        assert tls["alpn"] == "http/1.1"
        assert tls["handshake_us"] > 0


def test_many_requests_on_one_connection(ca, site):
    with Tls([site]) as gateway, connected(gateway.tls_port, context(ca)) as s:
        for _ in range(200):
            assert ask(s) == (200, b"hello\n")


def test_plain_http_on_a_tls_port_is_told_so(site):
    with Tls([site]) as gateway, RawClient(gateway.tls_port) as client:
        answer = client.get("/hello")
        assert answer.status == 400
        assert b"TLS" in answer.body
        assert client.ends()
        assert gateway.record(cause="tls_plain_http")["status"] == 400

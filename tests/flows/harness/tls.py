"""Gateways with TLS listeners, and clients that speak TLS to them."""

import contextlib
import re
import socket
import ssl
import subprocess

from .process import free_port, patience
from .ringway import Ringway

HELLO = """
hello:
  respond: {status: 200, body: "hello\\n"}
  routes: [{path: /hello}]
"""
GET = b"GET /hello HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def pairs(certificates):
    """YAML of `certificates`."""
    return "[" + ", ".join(f"{{cert: {c.cert}, key: {c.key}}}" for c in certificates) + "]"


class Tls(Ringway):
    """A gateway with one TLS listener more, `secure`; `tls` is YAML of its mapping, on one line.

    `more` has further listeners: their names and YAML of their mapping, on one line."""

    def __init__(self, certificates, services=HELLO, *, tls="", listener="", more=None, top="",
                 **options):
        extra = f", {tls}" if tls else ""
        secure = f"tls: {{certificates: {pairs(certificates)}{extra}}}"
        self._listeners = {"secure": f"{secure}, {listener}" if listener else secure,
                           **(more or {})}
        self.ports = {}
        super().__init__(services, top=top, **options)

    @property
    def tls_port(self):
        return self.ports["secure"]

    def pick_ports(self):
        super().pick_ports()
        self.ports = {name: free_port() for name in self._listeners}

    def set_listener(self, name, text):
        """What its mapping is from the next write_config() on."""
        self._listeners[name] = text

    def config_text(self):
        lines = [f'  - {{name: {name}, address: "127.0.0.1:{self.ports[name]}", {text}}}\n'
                 for name, text in self._listeners.items()]
        return super().config_text() + "listeners:\n" + "".join(lines)


def context(ca, low=V12, high=V13, certificate=None):
    made = ssl.create_default_context(cafile=ca.cert)
    made.minimum_version = low
    made.maximum_version = high
    if certificate:
        made.load_cert_chain(certificate.cert, certificate.key)
    return made


@contextlib.contextmanager
def connected(port, ctx, name="a.test", session=None, source=None):
    with socket.create_connection(("127.0.0.1", port), timeout=patience(5),
                                  source_address=(source, 0) if source else None) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with ctx.wrap_socket(raw, server_hostname=name, session=session) as s:
            yield s


def ask(s, path="/hello", host="a.test", more=""):
    """Status and body of one request; the connection stays."""
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
                           *trust, *map(str, options)], input=say, capture_output=True,
                          timeout=patience(timeout_s))


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode()


class HalfHandshake:
    """A client without a socket: its hello, and what it would say to the server's bytes."""

    def __init__(self, ctx, name="a.test"):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ctx.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def step(self, received=b""):
        """What to send now; `done` tells whether the handshake is."""
        self.incoming.write(received)
        try:
            self.tls.do_handshake()
            self.done = True
        except ssl.SSLWantReadError:
            self.done = False
        return self.outgoing.read()


def hello(ctx, name="a.test"):
    """The bytes of a ClientHello's record."""
    return HalfHandshake(ctx, name).step()


def recut(record, size):
    """The same handshake message in records of `size` bytes."""
    payload = record[5:]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece
                    for piece in (payload[at:at + size] for at in range(0, len(payload), size)))


def alert_in(data):
    """The description of the alert that is the last record of `data`, in the clear."""
    assert re.fullmatch(rb"\x15\x03.\x00\x02\x02(.)", data[-7:], re.S), data
    return data[-1]

"""Bodies through a TLS listener: whole, at the reader's pace, in constant memory."""

import contextlib
import http.client
import socket
import time

import pytest

from harness.bodies import Bodies
from harness.origin import OK, Origin, by_path
from harness.process import SANITIZER
from harness.ringway import Quiet
from harness.tls import V12, V13, Tls, ask, connected, context

SERVICE = """
    all:
      url: "{url}"
      timeouts: {{connect: 5s, first_byte: 30s, idle: 60s, total: 1h}}
      routes: [{{path: /*, max_body: 16GiB}}]
    """
OVER_TLS = """
    all:
      url: "https://127.0.0.1:{port}"
      tls: {{ca: {ca}, server_name: a.test}}
      timeouts: {{connect: 5s, first_byte: 30s, idle: 60s, total: 1h}}
      routes: [{{path: /*, max_body: 16GiB}}]
    """
LENGTH_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
VERSIONS = pytest.mark.parametrize("version", [V12, V13])
BLOCK = bytes(range(256)) * 4096


@contextlib.contextmanager
def behind(site, script, **options):
    with Origin(script, keep_log=False) as origin, \
            Tls([site], SERVICE.format(url=origin.url), **options) as gateway:
        yield gateway


class TlsBodies(Bodies):
    def __init__(self, ctx, *arguments, **options):
        super().__init__(*arguments, **options)
        self.ctx = ctx

    def connect(self):
        # It asks for the name that the certificate has, at the address of the gateway.
        return http.client.HTTPSConnection("localhost", self.gateway.tls_port, timeout=60,
                                           context=self.ctx)


@VERSIONS
def test_random_bodies_arrive_equal(ca, site, nginx, full, version):
    """TLS on both sides of the outer one, whose upstream is another one in front of nginx."""
    threads = 4
    with Tls([site], SERVICE.format(url=nginx.url), shards=2, gateway="timeout: 1h") as inner, \
            Tls([site], OVER_TLS.format(port=inner.tls_port, ca=ca.cert), shards=2,
                gateway="timeout: 1h") as gateway:
        bodies = TlsBodies(context(ca, version, version), gateway, nginx,
                           (10000 if full else 100) // threads, seed=int(version))
        with Quiet(gateway):
            bodies.run_threads(threads)


def streams(size):
    def run(conn, _):
        conn.send(LENGTH_HEAD % size)
        for _ in range(size // len(BLOCK)):
            conn.send(BLOCK, 120.0)    # the reader pauses for 30 s
        return True
    return run


def small(conn, _):
    conn.send(OK)
    return True


def head(s):
    got = b""
    while b"\r\n\r\n" not in got:
        got += s.recv(1)
    return got


@pytest.mark.skipif(bool(SANITIZER), reason="a sanitizer's own memory hides ours")
@VERSIONS
def test_a_download_whose_reader_pauses_takes_constant_memory(ca, site, full, version):
    size, pause = (10 << 30, 30) if full else (256 << 20, 1.0)
    with behind(site, by_path({"/large": streams(size)}, small), gateway="timeout: 1h",
                client="write_idle: 2m") as gateway:
        with connected(gateway.tls_port, context(ca, version, version)) as s:
            ask(s, "/small")
            before = gateway.process.rss()
            s.settimeout(60)
            s.sendall(b"GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n")
            head(s)
            sink, left, paused, peak = bytearray(1 << 20), size, False, 0
            while left:
                got = s.recv_into(sink)
                assert got, f"closed {left} bytes early"
                left -= got
                if not paused and left < size // 2:
                    paused = True
                    time.sleep(pause)
                    peak = gateway.process.rss()
            # The pool of blocks comes to be used; a sixteenth of what went through.
            assert 0 < peak - before < 16 << 20
            assert gateway.process.rss() - before < 16 << 20


@VERSIONS
def test_a_reader_that_is_slow_gets_every_byte(ca, site, version):
    size = 4 << 20
    with behind(site, by_path({"/large": streams(size)}, small),
                client="write_idle: 1s") as gateway, Quiet(gateway):
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            raw.settimeout(30)
            raw.connect(("127.0.0.1", gateway.tls_port))
            with context(ca, version, version).wrap_socket(raw, server_hostname="a.test") as s:
                s.sendall(b"GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n")
                head(s)
                got, began = bytearray(), time.monotonic()
                while len(got) < size:
                    piece = s.recv(65536)
                    assert piece, f"closed after {len(got)} bytes"
                    got += piece
                    # Longer than write_idle in all, and never that long at a time.
                    if time.monotonic() - began < 2.5:
                        time.sleep(0.05)
                assert got == BLOCK * (size // len(BLOCK))


@VERSIONS
def test_a_reader_that_takes_nothing_is_given_up(ca, site, version):
    with behind(site, by_path({"/large": streams(64 << 20)}, small),
                client="write_idle: 500ms") as gateway, Quiet(gateway):
        with connected(gateway.tls_port, context(ca, version, version)) as s:
            s.sendall(b"GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n")
            head(s)
            assert gateway.record(path="/large", cause="client_timeout")


@VERSIONS
def test_an_upload_that_is_cut_is_no_whole_one(ca, site, version):
    """A bare FIN is no end of anything: the origin is not given what came so far as a whole."""
    def reads(conn, request):
        small(conn, request)
        return True
    with behind(site, by_path({}, reads)) as gateway, Quiet(gateway):
        with connected(gateway.tls_port, context(ca, version, version)) as s:
            s.sendall(b"POST /cut HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n123")
            socket.socket.shutdown(s, socket.SHUT_WR)
            with contextlib.suppress(OSError):
                assert b" 200 " not in s.recv(65536)
        gateway.record(path="/cut", cause="client_closed")


@VERSIONS
def test_an_answer_that_is_cut_is_seen_as_cut(ca, site, version):
    """An origin that dies in its body: the client gets no close_notify, nor the rest."""
    def dies(conn, _):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)
        conn.reset()
    with behind(site, by_path({"/dies": dies})) as gateway, Quiet(gateway):
        with socket.create_connection(("127.0.0.1", gateway.tls_port), 10) as raw, \
                context(ca, version, version).wrap_socket(
                    raw, server_hostname="a.test", suppress_ragged_eofs=False) as s:
            s.sendall(b"GET /dies HTTP/1.1\r\nHost: a.test\r\n\r\n")
            with pytest.raises(OSError):
                while s.recv(65536):
                    pass
        gateway.record(path="/dies")

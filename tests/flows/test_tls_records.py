"""What TLS costs on the wire and in memory: sends, records, idle connections, allocations."""

import contextlib
import resource
import socket
import ssl
import struct
import time

import pytest

from harness.process import BINARY, SANITIZER, patience
from harness.tls import HELLO, V12, V13, Tls, ask, connected, context

COUNTER = BINARY.parent / "tests" / "flows" / "malloc_count.so"
SIZES = {"/medium": 20000, "/large": 60000}
SERVICES = HELLO + "".join(f"""
{path[1:]}:
  respond: {{status: 200, body: "{'x' * size}"}}
  routes: [{{path: {path}}}]
""" for path, size in SIZES.items())


class Wire:
    """A client that sees the records as they come."""

    def __init__(self, ctx, port):
        self.raw = socket.create_connection(("127.0.0.1", port), timeout=patience(5))
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ctx.wrap_bio(self.incoming, self.outgoing, server_hostname="a.test")
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    def turn(self, step):
        """What the step says when it needs nothing from the other side any more."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                result = None
            out = self.outgoing.read()
            if out:
                self.raw.sendall(out)
            if result is not None:
                return result
            got = self.raw.recv(1 << 20)
            assert got, "closed"
            self.seen += got
            self.incoming.write(got)

    def shake(self):
        self.turn(lambda: self.tls.do_handshake() or True)

    def get(self, path):
        """The lengths of the records of the answer."""
        self.seen = b""
        self.tls.write(f"GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got or len(got.split(b"\r\n\r\n", 1)[1]) < SIZES[path]:
            got += self.turn(lambda: self.tls.read(1 << 20))
        lengths, at = [], 0
        while at < len(self.seen):
            lengths.append(struct.unpack(">H", self.seen[at + 3:at + 5])[0])
            at += 5 + lengths[-1]
        return lengths

    def segments(self):
        """Segments with data that have come; on loopback a send is one."""
        info = self.raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        return struct.unpack_from("I", info, 152)[0]


@pytest.fixture(scope="module")
def gateway(site):
    with Tls([site], SERVICES) as running:
        yield running


def test_a_flight_is_one_send(ca, gateway):
    with Wire(context(ca, V13, V13), gateway.tls_port) as wire:
        wire.shake()
        assert len(wire.get("/medium")) >= 5
        # ServerHello to Finished; the tickets; the answer with all of its records.
        assert wire.segments() == 3


def test_a_flight_of_12_is_one_send(ca, gateway):
    with Wire(context(ca, V12, V12), gateway.tls_port) as wire:
        wire.shake()
        # ServerHello to ServerHelloDone; ticket, ChangeCipherSpec and Finished.
        assert wire.segments() == 2
        assert len(wire.get("/medium")) >= 5
        assert wire.segments() == 3


@pytest.mark.parametrize("version,overhead", [(V12, 24), (V13, 17)])
def test_records_grow_with_the_transfer_and_begin_small_after_a_pause(ca, gateway, version,
                                                                       overhead):
    small, large = 4096 + overhead, 16384 + overhead
    with Wire(context(ca, version, version), gateway.tls_port) as wire:
        wire.shake()
        first = [n for n in wire.get("/large") if n > 1000]
        assert first[:8] == [small] * 8 and max(first) == large
        again = [n for n in wire.get("/large") if n > 1000]
        assert max(again) == large and small not in again
        time.sleep(1.2)
        later = wire.get("/large")
        assert later[:8] == [small] * 8


@contextlib.contextmanager
def descriptors(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def idle_cost(site, held, connect):
    """RSS with all of the limit idle, minus RSS of an instance for 100, over what is more."""
    base = 100
    with Tls([site], gateway=f"max_connections: {base}") as small:
        with connect(small) as s:
            ask(s)
        idle = small.process.rss()
    with Tls([site], gateway=f"max_connections: {held}", client="keepalive: 5m") as large, \
            contextlib.ExitStack() as clients:
        for _ in range(held):
            assert ask(clients.enter_context(connect(large)))[0] == 200
        return (large.process.rss() - idle) / (held - base)


@pytest.mark.skipif(bool(SANITIZER), reason="a sanitizer's own memory hides ours")
@pytest.mark.parametrize("version", [V12, V13])
def test_an_idle_tls_connection_costs_at_most_six_kib_over_a_plain_one(ca, site, full, version):
    held = 5000 if full else 1500
    ctx = context(ca, version, version)
    with descriptors(held + 500):
        plain = idle_cost(site, held, lambda g: socket.create_connection(("127.0.0.1", g.port)))
        secure = idle_cost(site, held, lambda g: connected(g.tls_port, ctx))
    assert secure - plain <= 6 << 10


@pytest.mark.skipif(SANITIZER is not None, reason="the sanitizer's malloc is not ours to count")
@pytest.mark.parametrize("version", [V12, V13])
def test_tls_asks_malloc_for_nothing(ca, site, version, tmp_path):
    """Neither handshakes nor requests, once the shards have set themselves up."""
    counts = tmp_path / "counts"
    counts.write_bytes(bytes(16))
    env = {"LD_PRELOAD": str(COUNTER), "RINGWAY_MALLOC_COUNTS": str(counts)}

    def visit(times):
        ctx = context(ca, version, version)
        for _ in range(times):
            with connected(gateway.tls_port, ctx) as s:
                for _ in range(20):
                    assert ask(s)[0] == 200

    with Tls([site], shards=2, env=env) as gateway:
        visit(30)
        in_shards, elsewhere = struct.unpack("QQ", counts.read_bytes())
        assert in_shards > 0 and elsewhere > 0
        visit(200)
        assert struct.unpack("QQ", counts.read_bytes())[0] == in_shards
        assert all(shard["requests"] > 500 for shard in gateway.status()["shards"])

"""Clients that break TLS, stall it or flood it: their answer, and that the others notice nothing."""

import contextlib
import ctypes
import socket
import ssl
import threading
import time

import pytest

from harness.client import RawClient
from harness.origin import Origin
from harness.process import SANITIZER, eventually, patience
from harness.ringway import Quiet
from harness.tls import (HELLO, V12, V13, HalfHandshake, Tls, alert_in, ask, connected, context,
                         hello, recut)

VERSIONS = pytest.mark.parametrize("version", [V12, V13])


@pytest.fixture(scope="module")
def gateway(site):
    with Tls([site], shards=2, client="handshake_time: 1s") as running:
        yield running


@pytest.fixture()
def bystander(ca, gateway):
    """A connection that was there before and is served after; and so is a new one. What a test
    does beside it leaves nothing behind."""
    with Quiet(gateway):
        with connected(gateway.tls_port, context(ca)) as s:
            assert ask(s) == (200, b"hello\n")
            yield s
            assert ask(s) == (200, b"hello\n")
        with connected(gateway.tls_port, context(ca)) as s:
            assert ask(s) == (200, b"hello\n")


def of_version(sent, minor):
    """A hello of TLS 1.2, with another version in it: 1 is TLS 1.0, 2 is 1.1."""
    assert sent[9:11] == b"\x03\x03"
    return sent[:9] + bytes([3, minor]) + sent[11:]


def count(gateway, cause):
    return sum(record.get("cause") == cause for record in gateway.records())


@contextlib.contextmanager
def one_more(gateway, cause):
    """What is done inside leaves exactly one record with this cause."""
    before = count(gateway, cause)
    yield
    assert eventually(lambda: count(gateway, cause) > before), gateway.records()[-2:]
    assert count(gateway, cause) == before + 1


# Bytes that are no good hello

@pytest.mark.parametrize("minor", [0, 1, 2])
def test_versions_before_12_are_told_so(ca, gateway, bystander, minor):
    with one_more(gateway, "tls_version"), RawClient(gateway.tls_port) as client:
        client.send(of_version(hello(context(ca, V12, V12)), minor))
        assert alert_in(client.rest()) == 70


GARBAGE = {
    "zeros": bytes(512),
    "text": b"EHLO there, I am not TLS at all\r\n" * 8,
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "random": bytes((n * 167 + 13) % 256 for n in range(2048)),
    "proxy header": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_not_answered(gateway, bystander, name):
    with one_more(gateway, "tls_garbage"), RawClient(gateway.tls_port) as client:
        assert client.send(GARBAGE[name]).rest() == b""


def test_a_broken_hello_gets_an_alert(ca, gateway, bystander):
    sent = bytearray(hello(context(ca)))
    sent[43] = 255     # the length of the session id, which is 32 at the most
    with one_more(gateway, "tls_bad_hello"), RawClient(gateway.tls_port) as client:
        assert alert_in(client.send(bytes(sent)).rest()) in (47, 50)


def test_another_message_in_place_of_the_hello_gets_an_alert(gateway, bystander):
    with one_more(gateway, "tls_bad_hello"), RawClient(gateway.tls_port) as client:
        client.send(b"\x16\x03\x03\x00\x04\x14\x00\x00\x00")     # Finished
        assert alert_in(client.rest()) == 10


def test_a_record_that_is_too_long_gets_an_alert(gateway, bystander):
    with one_more(gateway, "tls_bad_hello"), RawClient(gateway.tls_port) as client:
        client.send(b"\x16\x03\x01\xff\xff\x01")
        assert alert_in(client.rest()) == 22


def test_a_share_that_is_no_point_gets_an_alert(ca, gateway, bystander):
    sent = bytearray(hello(context(ca, V13, V13)))
    share = sent.index(b"\x00\x1d\x00\x20") + 4    # X25519
    sent[share:share + 32] = bytes(32)
    with one_more(gateway, "tls_failed"), RawClient(gateway.tls_port) as client:
        assert alert_in(client.send(bytes(sent)).rest()) == 47


# Good hellos that come strangely

def finish(sock, half, more="Connection: close\r\n"):
    """Goes on with a handshake whose hello was sent, to the end of one request."""
    sock.settimeout(patience(5))
    while not half.done:
        data = sock.recv(65536)
        assert data, "closed in the handshake"
        sock.sendall(half.step(data))
    half.tls.write(f"GET /hello HTTP/1.1\r\nHost: a.test\r\n{more}\r\n".encode())
    sock.sendall(half.outgoing.read())
    got = b""
    while b"hello\n" not in got:
        with contextlib.suppress(ssl.SSLWantReadError):
            got += half.tls.read(65536)
            continue
        data = sock.recv(65536)
        assert data, got
        half.incoming.write(data)
    return got


@VERSIONS
def test_a_hello_in_pieces_of_one_byte_is_served(ca, gateway, bystander, version):
    half = HalfHandshake(context(ca, version, version))
    sent = half.step()
    with RawClient(gateway.tls_port) as client:
        client.send_pieces(sent, pause_s=0.0003)
        assert finish(client.sock, half).startswith(b"HTTP/1.1 200")


@VERSIONS
@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_hello_cut_over_many_records_is_served(ca, gateway, bystander, version, size):
    half = HalfHandshake(context(ca, version, version))
    sent = half.step()
    with RawClient(gateway.tls_port) as client:
        client.send(recut(sent, size))
        assert finish(client.sock, half).startswith(b"HTTP/1.1 200")


@VERSIONS
def test_everything_in_pieces_of_one_byte_is_served(ca, gateway, version):
    """Also what follows the hello: Finished, and the records of the request."""
    half = HalfHandshake(context(ca, version, version))
    with Quiet(gateway), RawClient(gateway.tls_port) as client:
        client.send_pieces(half.step())
        while not half.done:
            client.send_pieces(half.step(client.sock.recv(65536)))
        half.tls.write(b"GET /hello HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        client.send_pieces(half.outgoing.read())
        got = b""
        while data := client.sock.recv(65536):
            half.incoming.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                while piece := half.tls.read(65536):
                    got += piece
        assert got.endswith(b"hello\n")


# Silence

def test_who_says_nothing_is_closed_in_time(gateway, bystander):
    with one_more(gateway, "tls_timeout"), RawClient(gateway.tls_port) as client:
        began = time.monotonic()
        assert client.ends()
        assert 0.8 < time.monotonic() - began < patience(3)


def test_half_a_hello_and_silence_is_closed_in_time(ca, gateway, bystander):
    sent = hello(context(ca))
    with one_more(gateway, "tls_timeout"), RawClient(gateway.tls_port) as client:
        assert client.send(sent[:len(sent) // 2]).ends()


def test_a_byte_now_and_then_buys_no_time(ca, gateway, bystander):
    sent = hello(context(ca))
    with one_more(gateway, "tls_timeout"), RawClient(gateway.tls_port) as client:
        began = time.monotonic()
        for byte in sent:
            client.send(bytes([byte]))
            if not client.stays_open(0.1):
                break
        assert 0.8 < time.monotonic() - began < patience(3)


@VERSIONS
def test_silence_after_the_servers_flight_is_closed_in_time(ca, gateway, bystander, version):
    with one_more(gateway, "tls_timeout"), RawClient(gateway.tls_port) as client:
        client.send(hello(context(ca, version, version)))
        assert b"\x16\x03\x03" in client.rest()


# Those who vanish

@VERSIONS
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("when", ["half a hello", "the flight", "at once"])
def test_a_client_that_vanishes_leaves_nothing(ca, gateway, bystander, version, how, when):
    sent = hello(context(ca, version, version))
    before = count(gateway, "tls_client_closed")
    for _ in range(20):
        client = RawClient(gateway.tls_port)
        client.send(sent[:len(sent) // 2] if when == "half a hello" else sent)
        if when == "the flight":
            client.sock.recv(1)
        getattr(client, how)()
    if when != "at once":    # else the flight may meet a reset before the end is seen
        assert eventually(lambda: count(gateway, "tls_client_closed") == before + 20)


def test_a_probe_that_only_connects_is_not_logged(gateway):
    before = len(gateway.records())
    with Quiet(gateway):
        for _ in range(5):
            RawClient(gateway.tls_port).close()
    gateway.get("/hello?after-the-probes")
    gateway.record(path="/hello?after-the-probes")
    assert len(gateway.records()) == before + 1


def test_a_client_that_does_not_trust_us_is_named(gateway, bystander):
    with one_more(gateway, "tls_client_alert"), pytest.raises(ssl.SSLCertVerificationError):
        with connected(gateway.tls_port, ssl.create_default_context()):
            pass


# After the handshake

# wolfSSL says nothing of a header that it does not like, only of a record that it cannot open.
BAD_RECORDS = {
    "forged": (b"\x17\x03\x03\x00\x20" + bytes(32), "BAD_RECORD_MAC"),
    "too long": (b"\x17\x03\x03\xff\xff" + bytes(64), None),
    "of no type": (b"\x63\x03\x03\x00\x20" + bytes(32), None),
}


@VERSIONS
@pytest.mark.parametrize("which", BAD_RECORDS)
def test_a_bad_record_ends_the_connection(ca, gateway, bystander, version, which):
    record, alert = BAD_RECORDS[which]
    half = HalfHandshake(context(ca, version, version))
    with RawClient(gateway.tls_port) as client:
        client.send(half.step())
        finish(client.sock, half, more="")
        got = client.send(record).rest()
    half.incoming.write(got)
    with pytest.raises(ssl.SSLError) as ended:
        while half.tls.read(65536):
            pass
    if alert:
        assert ended.value.reason.endswith(alert), ended.value


class KeyUpdater:
    """A client that asks for new keys, which Python's ssl does not offer, and reads nothing."""

    def __init__(self, port):
        self.lib = lib = ctypes.CDLL("libssl.so.3")
        for call in (lib.TLS_client_method, lib.SSL_CTX_new, lib.SSL_new):
            call.restype = ctypes.c_void_p
        self.ctx = ctypes.c_void_p(lib.SSL_CTX_new(ctypes.c_void_p(lib.TLS_client_method())))
        self.ssl = ctypes.c_void_p(lib.SSL_new(self.ctx))
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(("127.0.0.1", port))
        lib.SSL_set_fd(self.ssl, self.sock.fileno())
        assert lib.SSL_connect(self.ssl) == 1

    def write(self, data):
        return self.lib.SSL_write(self.ssl, data, len(data)) == len(data)

    def ask_for_keys(self):
        return self.lib.SSL_key_update(self.ssl, 1) == 1 and \
            self.lib.SSL_do_handshake(self.ssl) == 1

    def close(self):
        self.lib.SSL_free(self.ssl)
        self.lib.SSL_CTX_free(self.ctx)
        self.sock.close()


def swallow(peer):
    while peer.sock.recv(65536):
        pass


def test_answers_that_nobody_reads_do_not_pile_up(site):
    """Each byte of a body makes up for some KeyUpdates; the answers wait for the client."""
    with Origin(swallow) as origin:
        up = f"up:\n  url: {origin.url}\n  routes: [{{path: /up}}]"
        with Tls([site], up) as gateway, Quiet(gateway):
            client = KeyUpdater(gateway.tls_port)
            client.write(b"POST /up HTTP/1.1\r\nHost: a.test\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n")
            for n in range(50000):
                if not all(client.ask_for_keys() for _ in range(20)) or \
                        not client.write(b"1\r\nx\r\n"):
                    break
                if n % 250 == 0:
                    assert gateway.gauges()["buffers_lent"] < 60
            else:
                raise AssertionError("it goes on for ever")
            client.close()


# Floods

class Traffic:
    """Requests on a connection that was there before, and on new ones, while something else
    goes on: none may fail."""

    def __init__(self, ca, port):
        self.ca, self.port = ca, port
        self.done = {"old": 0, "new": 0}
        self.failed = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(kind,))
                        for kind in self.done]

    def run(self, kind):
        ctx = context(self.ca)
        try:
            with contextlib.ExitStack() as stack:
                if kind == "old":
                    s = stack.enter_context(connected(self.port, ctx))
                while not self.stop.is_set():
                    if kind == "old":
                        assert ask(s) == (200, b"hello\n")
                    else:
                        with connected(self.port, ctx) as fresh:
                            assert ask(fresh) == (200, b"hello\n")
                    self.done[kind] += 1
                    time.sleep(0.005)
        except Exception as error:
            self.failed.append((kind, repr(error)))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        assert eventually(lambda: min(self.done.values()) > 2 or self.failed)
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture()
def many(full):
    """More would not fit the limit on descriptors that machines commonly have, twice over."""
    return 10000 if full and SANITIZER is None else 1500


def half_done(stack, port, sent, number):
    """So many clients that have said `sent` and no more. Each thousand has an address of its
    own, for ports."""
    clients = []
    for n in range(number):
        sock = stack.enter_context(socket.socket())
        sock.bind((f"127.0.0.{2 + n // 1000}", 0))
        sock.settimeout(patience(10))
        sock.connect(("127.0.0.1", port))
        sock.sendall(sent)
        clients.append(sock)
    return clients


def closed(sock):
    """Whether the gateway has ended it."""
    sock.setblocking(False)
    try:
        while data := sock.recv(65536):
            pass
        return data == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("part", ["hello", "half a hello"])
def test_ten_thousand_half_done_handshakes_hold_up_nobody(ca, site, many, part):
    sent = hello(context(ca))
    if part != "hello":
        sent = sent[:len(sent) // 2]
    with Tls([site], shards=2, gateway=f"max_connections: {many + 500}",
             client=f"handshake_time: 5m, max_handshakes: {many + 100}") as gateway:
        with Quiet(gateway), Traffic(ca, gateway.tls_port) as traffic:
            with contextlib.ExitStack() as stack:
                clients = half_done(stack, gateway.tls_port, sent, many)
                before = dict(traffic.done)
                assert eventually(lambda: traffic.failed or
                                  all(traffic.done[k] > before[k] + 20 for k in before), 10)
                assert not traffic.failed
                assert not any(closed(sock) for sock in clients)
        assert not traffic.failed
        assert traffic.done["old"] > 20 and traffic.done["new"] > 20


def test_above_the_limit_the_oldest_handshake_goes(ca, site):
    with Tls([site], client="handshake_time: 5m, max_handshakes: 50") as gateway:
        with Quiet(gateway), connected(gateway.tls_port, context(ca)) as bystander, \
                contextlib.ExitStack() as stack:
            clients = half_done(stack, gateway.tls_port, hello(context(ca))[:100], 300)
            assert eventually(lambda: all(map(closed, clients[:250])))
            assert not any(closed(sock) for sock in clients[250:])
            assert eventually(lambda: count(gateway, "tls_too_many") == 250)
            # While they stand, each new client takes the place of one.
            with Traffic(ca, gateway.tls_port) as traffic:
                assert eventually(lambda: min(traffic.done.values()) > 10 or traffic.failed)
            assert not traffic.failed
            assert ask(bystander) == (200, b"hello\n")

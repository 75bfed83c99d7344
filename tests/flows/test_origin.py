"""`ringway origin`: each of its paths, in constant memory, on connections that are kept."""

import json
import os
import pathlib
import shutil
import signal
import tempfile
import threading
import time

import pytest

from harness.client import RawClient
from harness.process import BINARY, Process, eventually, free_port, patience
from harness.ringway import command

BLOCK = 64 * 1024
MIB = 1024 * 1024


def letters(count):
    """What /bytes and /drip send."""
    period = bytes(ord("a") + i % 26 for i in range(251))
    return (period * (count // 251 + 1))[:count]


class BuiltInOrigin:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ringway-"))
        # Where the admin socket goes, unless the host has /run/ringway.
        self.env = {**os.environ, "XDG_RUNTIME_DIR": str(self.folder)}

    def __enter__(self):
        for attempt in range(3):
            self.port = free_port()
            self.process = Process([BINARY, "origin", "--listen", f"127.0.0.1:{self.port}",
                                    "--shards", "1"], self.folder, f"origin{attempt}",
                                   self.env)
            if eventually(lambda: not self.process.running() or self.listens(), 15.0) \
                    and self.process.running():
                return self
        raise AssertionError("the origin does not start: " + self.process.stderr)

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.process.signal(signal.SIGTERM)
                code = self.process.wait()
                assert code == 0 and "Sanitizer" not in self.process.stderr, self.process.stderr
        finally:
            self.process.kill()
            shutil.rmtree(self.folder, ignore_errors=True)

    def listens(self):
        try:
            self.client().close()
            return True
        except ConnectionRefusedError:
            return False

    def client(self, **options):
        return RawClient(self.port, **options)


@pytest.fixture(scope="module")
def origin():
    with BuiltInOrigin() as running:
        yield running


@pytest.fixture
def client(origin):
    with origin.client() as connected:
        yield connected


def send_while_reading(client, data):
    """A body that is echoed while it is sent would fill both directions otherwise."""
    thread = threading.Thread(target=client.send, args=(data,))
    thread.start()
    return thread


def post(path, body, extra=b""):
    return (b"POST %s HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n%s\r\n" %
            (path.encode(), len(body), extra)) + body


def chunked(path, body, size, extra=b"", trailers=b""):
    pieces = [b"%x\r\n%s\r\n" % (len(body[at:at + size]), body[at:at + size])
              for at in range(0, len(body), size)]
    return (b"POST %s HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n%s\r\n" %
            (path.encode(), extra)) + b"".join(pieces) + b"0\r\n" + trailers + b"\r\n"


def is_kept(client):
    """The connection answers another request."""
    return client.get("/bytes/3").body == b"abc"


def test_the_root_lists_the_paths(client):
    response = client.get("/")
    assert response.status == 200
    for path in (b"/echo", b"/bytes/N", b"/drip/N/MS", b"/delay/MS", b"/status/CODE", b"/close"):
        assert path in response.body


@pytest.mark.parametrize("size", [0, 1, 5000, BLOCK - 1, BLOCK])
def test_a_short_echo_keeps_the_connection(client, size):
    body = letters(size)
    client.send(post("/echo", body, b"Content-Type: text/x-test\r\n"))
    response = client.response("POST")
    assert (response.status, response.body) == (200, body)
    assert response.value("Content-Type") == b"text/x-test"
    assert response.value("Content-Length") == b"%d" % size
    assert is_kept(client)


def test_a_body_that_comes_in_pieces_is_one_echo(client):
    message = post("/echo", letters(300))
    client.send_pieces(message, size=50, pause_s=0.01)
    assert client.response("POST").body == letters(300)
    assert is_kept(client)


@pytest.mark.parametrize("size", [BLOCK + 1, 1000000, 20 * MIB])
def test_a_long_echo_is_sent_while_it_comes(origin, size):
    body = letters(size)
    with origin.client(keep_log=False) as client:
        sending = send_while_reading(client, post("/echo", body))
        response = client.response("POST", timeout_s=30)
        sending.join()
        assert response.body == body
        assert response.value("Content-Length") == b"%d" % size
        if size > 2 * BLOCK:
            # Its head went out before the request was read: how that ends was not known.
            assert response.value("Connection") == b"close"
            assert client.ends()


@pytest.mark.parametrize("size, piece", [(0, 1), (10, 3), (5000, 7), (300000, 10000)])
def test_a_chunked_body_comes_back_chunked(client, size, piece):
    body = letters(size)
    sending = send_while_reading(client, chunked("/echo", body, piece))
    response = client.response("POST", timeout_s=30)
    sending.join()
    assert response.body == body
    assert response.value("Transfer-Encoding") == b"chunked"


def test_trailers_come_back(client):
    client.send(chunked("/echo", b"hello", 5, b"Trailer: X-Sum\r\n", b"X-Sum: 7\r\n"))
    assert client.response("POST").body == b"hello"
    assert b"X-Sum: 7\r\n" in bytes(client.stream.log)


def test_an_echo_without_body_is_the_head(client):
    response = client.get("/echo/any/thing?x=1", extra=b"X-Field: some value\r\n")
    assert response.body == b"GET /echo/any/thing?x=1\nHost: a.test\nX-Field: some value\n"
    client.send(b"BREW /echo HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert client.response("BREW").body == b"BREW /echo\nHost: a.test\n"


@pytest.mark.parametrize("path", ["/echo", "/bytes/5", "/status/200"])
def test_who_expects_a_100_gets_it_first(client, path):
    client.send(b"POST %s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n"
                b"Expect: 100-continue\r\n\r\n" % path.encode())
    interim = client.stream.take_until(b"\r\n\r\n", time.monotonic() + patience(5.0))
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.stays_open(), "the answer came before the body"
    client.send(b"abcde")
    assert client.response("POST").status == 200
    assert is_kept(client)


@pytest.mark.parametrize("how", ["", "?chunked=1", "?x=2&chunked=1"])
@pytest.mark.parametrize("size", [0, 1, 64, 251, 252, BLOCK, BLOCK + 1, 5 * MIB + 3])
def test_bytes_are_exact(client, size, how):
    response = client.get(f"/bytes/{size}{how}", timeout_s=30)
    assert response.status == 200
    assert response.body == letters(size)
    if how:
        assert response.value("Transfer-Encoding") == b"chunked"
    else:
        assert response.value("Content-Length") == b"%d" % size
    assert is_kept(client)


@pytest.mark.parametrize("path, length", [("/bytes/1000", b"1000"), ("/bytes/1099511627776",
                                           b"1099511627776"), ("/drip/3/60000", b"3"),
                                          ("/status/404", b"14"), ("/bytes/5?chunked=1", None)])
def test_head_has_the_length_and_no_body(client, path, length):
    client.send(b"HEAD %s HTTP/1.1\r\nHost: a.test\r\n\r\n" % path.encode())
    response = client.response("HEAD")
    assert response.body == b""
    assert response.value("Content-Length") == length
    assert is_kept(client)


@pytest.mark.parametrize("status", [200, 201, 204, 205, 304, 404, 418, 429, 500, 503, 599])
def test_the_status_is_the_one_asked_for(client, status):
    response = client.get(f"/status/{status}")
    assert response.status == status
    assert response.body.startswith(b"%d" % status) == (status not in (204, 205, 304))
    assert response.value("Content-Type") != b"application/problem+json"
    assert is_kept(client)


def test_a_delay_lasts_as_long_as_it_says(client):
    before = time.monotonic()
    assert client.get("/delay/300").status == 200
    assert 0.3 <= time.monotonic() - before < patience(1.0)
    assert is_kept(client)


def test_a_drip_comes_byte_by_byte(client):
    before = time.monotonic()
    client.send(b"GET /drip/4/100 HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert client.response_head().status == 200
    assert time.monotonic() - before < 0.1 + patience(0.05), "the head waited for a byte"
    deadline = time.monotonic() + patience(5.0)
    for number in range(1, 5):
        client.stream.take(1, deadline)
        assert time.monotonic() - before >= 0.1 * number
    assert is_kept(client)


def test_requests_in_a_pipeline_are_answered_in_order(client):
    client.send(b"GET /delay/50 HTTP/1.1\r\nHost: a.test\r\n\r\n" + post("/echo", b"two") +
                b"GET /bytes/3 HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert [client.response().body for _ in range(3)] == [b"waited\n", b"two", b"abc"]


@pytest.mark.parametrize("path", ["/bytes/10", "/status/500", "/delay/10", "/", "/nowhere"])
def test_any_method_and_a_body_that_is_dropped(client, path):
    client.send(b"PATCH %s HTTP/1.1\r\nHost: a.test\r\nContent-Length: 200000\r\n\r\n" %
                path.encode() + bytes(200000))
    assert client.response("PATCH").status in (200, 404, 500)
    assert is_kept(client)


def test_a_close_is_no_answer(client):
    client.send(b"GET /close HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert client.rest() == b""


@pytest.mark.parametrize("path, status", [
    ("/bytes", 400), ("/bytes/", 400), ("/bytes/x", 400), ("/bytes/-1", 400), ("/bytes/1/2", 400),
    ("/bytes/1099511627777", 400), ("/bytes/99999999999999999999", 400), ("/delay/86400001", 400),
    ("/drip/1", 400), ("/drip/1/x", 400), ("/status/199", 400), ("/status/600", 400),
    ("/close/1", 404), ("/nowhere", 404), ("/bytesx/1", 404), ("/BYTES/1", 404), ("//bytes/1", 404),
])
def test_what_it_cannot_do_is_a_problem(client, path, status):
    response = client.get(path)
    assert response.status == status
    assert response.value("Content-Type") == b"application/problem+json"
    assert is_kept(client)


def test_a_client_of_http_1_0_gets_its_body_until_the_end(client):
    client.send(b"GET /bytes/1000?chunked=1 HTTP/1.0\r\nHost: a.test\r\n\r\n")
    head, _, body = client.rest().partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert body == letters(1000)


def in_flight(origin):
    """What the origin holds now, by `ringway status`."""
    done = command("status", "--json", "--instance", f"origin-{origin.port}",
                   env=origin.env)
    assert done.returncode == 0, done.stderr
    (shard,) = json.loads(done.stdout)["shards"]
    return shard["connections"], shard["exchanges"], shard["buffers_lent"]


def test_nobody_who_reads_slowly_or_leaves_costs_memory(origin):
    """An endless body at full speed, one that nobody reads, and both broken off."""
    with origin.client() as warm:
        assert is_kept(warm)
    assert eventually(lambda: in_flight(origin)[:2] == (0, 0))
    before, quiet = origin.process.rss(), in_flight(origin)
    readers = [origin.client(receive_buffer=16384, keep_log=False) for _ in range(4)]
    for reader in readers:
        reader.send(b"GET /bytes/1099511627776 HTTP/1.1\r\nHost: a.test\r\n\r\n")
    left = 64 * MIB
    while left > 0:
        left -= len(readers[0].sock.recv(MIB))
    assert origin.process.rss() - before < patience(8 * MIB)
    assert in_flight(origin)[0] == 4
    for reader in readers[:2]:
        reader.reset()
    for reader in readers[2:]:
        reader.close()
    assert eventually(lambda: in_flight(origin) == quiet), in_flight(origin)


def test_a_client_that_vanishes_ends_its_wait(origin):
    """One that only ends its side may still read, so a delay goes on until it is over."""
    assert eventually(lambda: in_flight(origin)[:2] == (0, 0))
    quiet = in_flight(origin)
    for path in (b"/delay/3600000", b"/drip/9/3600000"):
        client = origin.client()
        client.send(b"GET %s HTTP/1.1\r\nHost: a.test\r\n\r\n" % path)
        assert eventually(lambda: in_flight(origin)[1] == 1)
        client.reset()
        assert eventually(lambda: in_flight(origin) == quiet), path

"""HTTP/1.1 as clients and origins meet it: connections kept, bodies whole, order held."""

import hashlib
import random
import subprocess
import threading
import time

import pytest

from harness.bodies import Bodies
from harness.nginx import SMALL
from harness.origin import OK, Origin, by_path
from harness.process import SANITIZER, eventually
from harness.ringway import Quiet, Ringway

SERVICE = """
    all:
      url: "{origin}"
      routes: [{{path: /*}}]
    """
LENGTH_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def behind(script, **options):
    """An origin that runs `script` on each connection, and Ringway before it."""
    class Pair:
        def __enter__(self):
            self.origin = Origin(script)
            self.gateway = Ringway(SERVICE.format(origin=self.origin.url), **options)
            self.gateway.__enter__()
            return self.origin, self.gateway

        def __exit__(self, *error):
            self.gateway.__exit__(*error)
            self.origin.__exit__(*error)
    return Pair()


@pytest.fixture(scope="module")
def echo():
    """An origin that answers a request's own body, framed as the request was."""
    def script(conn):
        while True:
            request = conn.request()
            if request is None:
                return
            if request.framing == "chunked":
                body = b"%x\r\n%s\r\n" % (len(request.body), request.body) if request.body else b""
                trailers = b"".join(b"Echo-" + line + b"\r\n"
                                    for line in request.trailers.split(b"\r\n") if line)
                conn.send(CHUNKED_HEAD + body + b"0\r\n" + trailers + b"\r\n")
            else:
                conn.send(LENGTH_HEAD % len(request.body) + request.body)

    with behind(script) as pair:
        yield pair


# Connections

def test_many_requests_use_one_connection_on_both_sides(echo):
    origin, gateway = echo
    before = len(origin.requests)
    with gateway.client() as client:
        for _ in range(100):
            assert client.get("/").status == 200
    assert len({request.conn for request in origin.requests[before:]}) == 1


def test_the_next_client_gets_the_pooled_connection(echo):
    origin, gateway = echo
    before = len(origin.requests)
    for _ in range(5):
        assert gateway.get("/").status == 200
    assert len({request.conn for request in origin.requests[before:]}) == 1


def test_the_pool_hands_out_the_connection_used_last():
    held = threading.Semaphore(0)

    def script(conn, request):
        if request.target == b"/held":
            held.acquire()
        conn.send(OK)
        return True

    with behind(by_path({}, script)) as (origin, gateway):
        with gateway.client() as first, gateway.client() as second:
            for client in (first, second):
                client.send(b"GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n")
            origin.wait_requests(2)
            held.release()
            held.release()
            assert first.response().status == second.response().status == 200
            first.get("/a")
            time.sleep(0.05)    # the answer may reach us before the connection is back
            second.get("/b")
            third = [r.conn for r in origin.requests[-2:]]
            assert third[0] == third[1], "the connection used last was not the first in hand"


def test_an_idle_connection_that_the_origin_closed_is_not_used_again():
    def one_answer(conn):
        conn.request()
        conn.send(OK)

    with behind(one_answer) as (origin, gateway):
        for number in range(20):
            assert gateway.get("/").status == 200
            assert origin.conns[number].ended.wait(5)
            # The close is seen by itself, not by the next request's failure.
            assert eventually(lambda: sum(s["upstream_idle"] for s in
                                          gateway.status()["shards"]) == 0)
        assert len(origin.requests) == 20


def test_pipelined_requests_are_answered_in_order():
    def script(conn, request):
        number = int(request.target[1:])
        time.sleep(0.05 if number % 7 == 0 else 0)
        body = b"answer %d" % number
        conn.send(LENGTH_HEAD % len(body) + body)
        return True

    with behind(by_path({}, script)) as (_, gateway), gateway.client() as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % n for n in range(50)))
        bodies = [client.response().body for _ in range(50)]
    assert bodies == [b"answer %d" % n for n in range(50)]


def test_a_pipeline_may_be_longer_than_a_buffer():
    """One head of each 64 KiB lies across the end of the buffer."""
    count = 3000

    def script(conn, request):
        conn.send(LENGTH_HEAD % len(request.target) + request.target)
        return True

    with behind(by_path({}, script)) as (_, gateway), gateway.client() as client:
        requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % n for n in range(count))
        sender = threading.Thread(target=client.send, args=(requests,))
        sender.start()
        bodies = [client.response().body for _ in range(count)]
        sender.join()
    assert bodies == [b"/%d" % n for n in range(count)]


@pytest.mark.parametrize("before_the_end", range(0, 260, 20))
def test_trailers_may_lie_across_the_end_of_a_buffer(echo, before_the_end):
    trailers = b"".join(b"T%d: v\r\n" % i for i in range(20))
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"x" * (65536 - len(head) - before_the_end)
    with echo[1].client() as client:
        client.send(head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n" + trailers + b"\r\n")
        answer = client.response()
        assert (answer.body, answer.trailers.count(b"Echo-T")) == (body, 20)


def test_pipelined_requests_with_bodies_are_kept_apart(echo):
    _, gateway = echo
    rng = random.Random(5)
    bodies = [rng.randbytes(rng.choice([0, 1, 100, 5000])) for _ in range(40)]
    raw = b""
    for number, body in enumerate(bodies):
        if number % 2:
            raw += (b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % len(body)
                    + body)
        else:
            chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            raw += (b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + chunk + b"0\r\n\r\n")
    with gateway.client() as client:
        sender = threading.Thread(target=client.send_pieces, args=(raw, 1013))
        sender.start()
        answers = [client.response(timeout_s=20).body for _ in bodies]
        sender.join()
    assert answers == bodies


def test_a_request_that_comes_byte_by_byte_is_served(echo):
    _, gateway = echo
    with gateway.client() as client:
        client.send_pieces(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", 1, 0.002)
        response = client.response()
    assert response.body == b"hello"
    assert response.trailers == b"Echo-X-T: 1\r\n"


# Bodies

@pytest.mark.parametrize("size", [0, 1, 15, 16, 4095, 4096, 65535, 65536, 65537, 1 << 20])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodies_go_both_ways(echo, size, framing):
    origin, gateway = echo
    body = random.Random(size).randbytes(size)
    with gateway.client() as client:
        head = b"POST / HTTP/1.1\r\nHost: a.test\r\n"
        if framing == "length":
            raw = head + b"Content-Length: %d\r\n\r\n" % size + body
        else:
            pieces = [body[at:at + 7001] for at in range(0, size, 7001)]
            raw = (head + b"Transfer-Encoding: chunked\r\n\r\n" +
                   b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) +
                   b"0\r\n\r\n")
        sender = threading.Thread(target=client.send, args=(raw,))
        sender.start()
        response = client.response(timeout_s=20)
        sender.join()
    assert response.framing == framing
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(body).digest()


def test_a_chunk_is_passed_on_before_the_next_one_comes():
    goes_on = threading.Event()

    def drips(conn):
        conn.request()
        conn.send(CHUNKED_HEAD + b"5\r\nfirst\r\n")
        goes_on.wait(5)
        conn.send(b"6\r\nsecond\r\n0\r\n\r\n")

    with behind(drips) as (_, gateway), gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        client.response_head()
        deadline = time.monotonic() + 5
        assert client.stream.take_until(b"first\r\n", deadline) == b"5\r\nfirst\r\n"
        goes_on.set()
        assert client.stream.take_until(b"0\r\n\r\n", deadline) == b"6\r\nsecond\r\n0\r\n\r\n"


def test_head_asks_for_no_body_and_the_connection_goes_on():
    def script(conn, request):
        conn.send(LENGTH_HEAD % 5 + (b"" if request.method == b"HEAD" else b"hello"))
        return True

    with behind(by_path({}, script)) as (origin, gateway), gateway.client() as client:
        for _ in range(3):
            client.send(b"HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            head = client.response("HEAD")
            assert (head.status, head.value("Content-Length"), head.body) == (200, b"5", b"")
            assert client.get("/").body == b"hello"
        assert len(origin.conns) == 1


@pytest.mark.parametrize("line", [b"204 No Content", b"304 Not Modified"])
def test_answers_without_body_leave_both_connections_usable(line):
    def script(conn, request):
        conn.send(b"HTTP/1.1 " + line + b"\r\nX-A: b\r\n\r\n")
        return True

    with behind(by_path({}, script)) as (origin, gateway), gateway.client() as client:
        for _ in range(5):
            response = client.get("/")
            assert response.status == int(line[:3])
            assert response.values("Transfer-Encoding") == []
        assert len(origin.conns) == 1


# Expect, early answers, halves

EXPECTING = b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"


def test_100_continue_of_the_origin_reaches_the_client_before_the_body():
    def script(conn):
        while True:
            request = conn.head()
            if request is None:
                return
            assert request.value("Expect") == b"100-continue"
            conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            conn.body(request)
            conn.send(LENGTH_HEAD % 5 + request.body)

    with behind(script) as (origin, gateway), gateway.client() as client:
        for _ in range(2):
            client.send(EXPECTING)
            assert client.stream.take_until(b"\r\n\r\n", time.monotonic() + 5) \
                .startswith(b"HTTP/1.1 100 ")
            client.send(b"hello")
            assert client.response().body == b"hello"
        assert len(origin.conns) == 1


def test_the_time_of_a_body_begins_when_it_is_asked_for():
    def script(conn):
        request = conn.head()
        time.sleep(1.5)
        conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        conn.body(request)
        conn.send(LENGTH_HEAD % 5 + request.body)

    with behind(script, client="body_idle: 500ms") as (_, gateway), gateway.client() as client:
        client.send(EXPECTING)
        assert client.stream.take_until(b"\r\n\r\n", time.monotonic() + 5) \
            .startswith(b"HTTP/1.1 100 ")
        client.send(b"hello")
        assert client.response().body == b"hello"
    with behind(script, client="body_idle: 500ms") as (_, gateway), gateway.client() as client:
        client.send(EXPECTING)
        assert client.stream.take_until(b"\r\n\r\n", time.monotonic() + 5) \
            .startswith(b"HTTP/1.1 100 ")
        assert client.response().status == 408


def test_a_refusal_instead_of_100_reaches_the_client_and_no_body_is_read_as_a_request():
    def refuses(conn):
        conn.head()
        conn.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
        conn.peer_closes()

    with behind(refuses) as (origin, gateway), gateway.client() as client:
        client.send(EXPECTING)
        response = client.response()
        assert response.status == 417
        if response.values("Connection") == [b"close"]:
            assert client.ends()
        else:
            # The client gave up its body only if it sees an end; what it sends now is the body.
            client.send(b"GET /")
            assert client.stays_open() or client.ends()
        assert origin.conns[0].ended.wait(5), "the unfinished connection went back to the pool"


def test_an_answer_before_the_body_is_passed_on_at_once():
    def early(conn):
        conn.head()
        conn.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        conn.peer_closes()

    with behind(early) as (_, gateway), Quiet(gateway), gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nbegin")
        response = client.response()
        assert (response.status, response.body) == (403, b"no")
        # The rest of the body is not worth its transfer, so the connection ends.
        client.send(b"x" * 10000)
        client.rest()


def test_an_answer_before_the_body_and_the_body_still_goes_through():
    body_seen = threading.Event()

    def answers_first(conn):
        request = conn.head()
        conn.send(CHUNKED_HEAD + b"5\r\nearly\r\n")
        conn.body(request)
        body_seen.set()
        conn.send(b"4\r\nlate\r\n0\r\n\r\n")

    with behind(answers_first) as (origin, gateway), gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n12345")
        client.response_head()
        assert client.stream.take_until(b"early\r\n", time.monotonic() + 5)
        client.send(b"67890")
        assert body_seen.wait(5)
        assert origin.requests[0].body == b"1234567890"
        assert client.stream.take_until(b"0\r\n\r\n", time.monotonic() + 5) \
            == b"4\r\nlate\r\n0\r\n\r\n"


def test_a_client_that_shuts_down_its_sending_half_gets_its_answer():
    def slow(conn):
        conn.request()
        time.sleep(0.2)
        conn.send(OK)

    with behind(slow) as (_, gateway), Quiet(gateway), gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").half_close()
        response = client.response()
        assert (response.status, response.body) == (200, b"ok")
        assert client.ends()


def test_a_client_that_shuts_down_inside_its_body_is_cut(echo):
    _, gateway = echo
    with Quiet(gateway), gateway.client() as client:
        client.send(b"POST /cut HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n123")
        client.half_close()
        client.rest()
        gateway.record(path="/cut", cause="client_closed")


def test_an_http10_client_is_served_and_closed(echo):
    _, gateway = echo
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello")
        response = client.response()
        assert (response.body, response.values("Transfer-Encoding")) == (b"hello", [])
        assert client.ends()


def test_an_http10_client_that_asks_to_stay_is_told_so(echo):
    _, gateway = echo
    with gateway.client() as client:
        for _ in range(3):
            client.send(b"GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n")
            response = client.response()
            assert response.status == 200
            assert [v.lower() for v in response.values("Connection")] == [b"keep-alive"]


# nginx as the origin

@pytest.fixture(scope="module")
def before_nginx(nginx):
    # A total deadline would end the slow and the large ones; only idling counts here.
    service = f"""
        files:
          url: "{nginx.url}"
          timeouts: {{connect: 5s, first_byte: 30s, idle: 60s, total: 1h}}
          routes: [{{path: /*, max_body: 16GiB}}]
        """
    with Ringway(service, shards=2, gateway="timeout: 1h, max_connections: 1000") as gateway:
        yield gateway


def test_curl_goes_through_to_nginx(before_nginx):
    done = subprocess.run(["curl", "-sS", "--fail", "--noproxy", "*",
                           f"http://127.0.0.1:{before_nginx.port}/small"],
                          capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, SMALL), done.stderr


def test_wrk_sees_no_error(before_nginx, full):
    seconds = 60 if full else 3
    done = subprocess.run(["wrk", "-t2", "-c200", f"-d{seconds}s",
                           f"http://127.0.0.1:{before_nginx.port}/small"],
                          capture_output=True, text=True, timeout=seconds + 60)
    assert done.returncode == 0, done.stderr
    assert "Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done.stdout
    assert "requests in" in done.stdout
    assert before_nginx.process.io_workers() == []


def test_random_bodies_arrive_equal(before_nginx, nginx, full):
    threads = 4
    bodies = Bodies(before_nginx, nginx, (10000 if full else 200) // threads, seed=2)
    with Quiet(before_nginx):
        bodies.run_threads(threads)


# Constant memory

PAUSE_GROWTH = 32 << 20
BLOCK = bytes(1 << 20)


def grown(gateway, rss_before):
    return gateway.process.rss() - rss_before


@pytest.mark.skipif(bool(SANITIZER), reason="a sanitizer's own memory hides ours")
def test_a_download_whose_reader_pauses_takes_constant_memory(full):
    size, pause = (10 << 30, 30) if full else (512 << 20, 1.5)

    def streams(conn, _):
        conn.send(LENGTH_HEAD % size)
        for _ in range(size // len(BLOCK)):
            conn.send(BLOCK, 120.0)    # the reader pauses for 30 s
        return True

    def small(conn, _):
        conn.send(OK)
        return True

    with behind(by_path({"/large": streams}, small), gateway="timeout: 1h",
                client="write_idle: 2m") as (_, gateway):
        gateway.get("/small")
        rss = gateway.process.rss()
        with gateway.client(keep_log=False) as client:
            client.send(b"GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n")
            client.response_head()
            left = size - len(client.stream.waiting)
            client.sock.settimeout(60)
            sink = bytearray(1 << 20)
            paused = False
            peak = 0
            while left:
                got = client.sock.recv_into(sink)
                assert got, f"closed {left} bytes early"
                left -= got
                if not paused and left < size // 2:
                    paused = True
                    time.sleep(pause)
                    peak = grown(gateway, rss)
        peak = max(peak, grown(gateway, rss))
    assert peak < PAUSE_GROWTH


@pytest.mark.skipif(bool(SANITIZER), reason="a sanitizer's own memory hides ours")
def test_an_upload_whose_reader_pauses_takes_constant_memory(full):
    size, pause = (10 << 30, 30) if full else (512 << 20, 1.5)
    growth = []

    def swallows(conn):
        request = conn.head()
        left = int(request.value("Content-Length")) - len(conn.stream.waiting)
        conn.sock.settimeout(60)
        sink = bytearray(1 << 20)
        while left:
            got = conn.sock.recv_into(sink)
            if not got:
                return
            left -= got
            if not growth and left < size // 2:
                time.sleep(pause)
                growth.append(grown(gateway, rss))
        growth.append(grown(gateway, rss))
        conn.send(OK)

    with Origin(swallows, keep_log=False) as origin:
        service = f"""
            all:
              url: "{origin.url}"
              timeouts: {{idle: 60s, first_byte: 1h, total: 1h}}
              routes: [{{path: /*, max_body: 16GiB}}]
            """
        with Ringway(service, gateway="timeout: 1h") as gateway:
            rss = gateway.process.rss()
            with gateway.client() as client:
                client.send(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % size)
                client.sock.settimeout(60)
                for _ in range(size // len(BLOCK)):
                    client.sock.sendall(BLOCK)
                assert client.response(timeout_s=60).status == 200
    assert len(growth) == 2 and max(growth) < PAUSE_GROWTH, growth


def test_a_slow_reader_finishes(full):
    """At 2 KiB/s for 3 minutes in full, at the same rate for 3 s otherwise; small socket
    buffers, so that the pace of the reader reaches Ringway."""
    seconds = 180 if full else 3
    size = 4 << 20

    def streams(conn):
        conn.request()
        conn.send(LENGTH_HEAD % size + bytes(size))

    with behind(streams, gateway="timeout: 1h") as (_, gateway), Quiet(gateway):
        with gateway.client(receive_buffer=4096) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            left = size
            client.response_head()
            left -= len(client.stream.waiting)
            client.sock.settimeout(30)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                left -= len(client.sock.recv(1024))
                time.sleep(0.5)
            while left > 0:
                data = client.sock.recv(1 << 16)
                assert data, f"closed {left} bytes early"
                left -= len(data)
            assert left == 0

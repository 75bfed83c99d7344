"""Limits with small values: each has its answer, its cause in the log, and an end."""

import json
import re
import resource
import threading
import time

import pytest

from harness.origin import OK, Origin, by_path
from harness.process import SANITIZER, eventually
from harness.ringway import Quiet, Ringway

H = b"Host: a.test\r\n"


@pytest.fixture(scope="module")
def origin():
    with Origin() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(origin):
    service = f"""
        all:
          url: "{origin.url}"
          routes:
            - {{path: /*}}
            - {{path: /small/*, max_body: 10}}
        """
    client = ("head_time: 500ms, body_idle: 500ms, keepalive: 500ms, max_request_line: 256, "
              "max_head: 1KiB, max_fields: 8")
    with Ringway(service, client=client) as instance:
        yield instance


def refused(gateway, raw, status):
    with Quiet(gateway), gateway.client() as client:
        client.send(raw)
        response = client.response()
        assert response.status == status
        problem = json.loads(response.body)
        assert (problem["status"], response.value("Content-Type")) == \
            (status, b"application/problem+json")
        assert client.ends()
    return gateway.record(id=problem["request_id"], status=status)


def line(length):
    """A request line of that many bytes, its CRLF not counted."""
    return b"GET /" + b"a" * (length - len(b"GET / HTTP/1.1")) + b" HTTP/1.1"


@pytest.mark.parametrize("length, status", [(256, 200), (257, 414), (5000, 414)])
def test_request_line(gateway, length, status):
    raw = line(length) + b"\r\n" + H + b"\r\n"
    if status == 200:
        with gateway.client() as client:
            assert client.send(raw).response().status == 200
    else:
        refused(gateway, raw, status)


def test_a_request_line_without_end_is_answered(gateway):
    refused(gateway, b"GET /" + b"a" * 400, 414)


@pytest.mark.parametrize("fields, status", [(8, 200), (9, 431)])
def test_field_count(gateway, fields, status):
    more = b"".join(b"X: %d\r\n" % n for n in range(fields - 1))
    raw = b"GET / HTTP/1.1\r\n" + H + more + b"\r\n"
    if status == 200:
        with gateway.client() as client:
            assert client.send(raw).response().status == 200
    else:
        refused(gateway, raw, status)


def head(length):
    """A head of that many bytes with its empty line."""
    frame = b"GET / HTTP/1.1\r\n" + H + b"X: \r\n\r\n"
    return frame[:-4] + b"x" * (length - len(frame)) + b"\r\n\r\n"


@pytest.mark.parametrize("length, status", [(1024, 200), (1025, 431), (9000, 431)])
def test_head_size(gateway, length, status):
    if status == 200:
        with gateway.client() as client:
            assert client.send(head(length)).response().status == 200
    else:
        refused(gateway, head(length), status)


def test_a_head_without_end_is_answered(gateway):
    refused(gateway, b"GET / HTTP/1.1\r\n" + H + b"X: " + b"x" * 2000, 431)


def test_trailers_are_limited_like_a_head(gateway):
    with Quiet(gateway), gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
                    b"X: " + b"x" * 5000 + b"\r\n\r\n")
        assert client.response().status in (400, 431)
        assert client.ends()


# Bodies

def test_a_body_of_the_largest_size(gateway, origin):
    with gateway.client() as client:
        client.send(b"POST /small/a HTTP/1.1\r\n" + H + b"Content-Length: 10\r\n\r\n0123456789")
        assert client.response().status == 200
    assert origin.requests[-1].body == b"0123456789"


def test_a_declared_body_too_large_never_reaches_the_origin(gateway, origin):
    before = len(origin.requests), sum(conn.partial for conn in origin.conns)
    record = refused(gateway, b"POST /small/b HTTP/1.1\r\n" + H + b"Content-Length: 11\r\n\r\n"
                     b"01234567890", 413)
    assert record["cause"] == "body_too_large"
    assert before == (len(origin.requests), sum(conn.partial for conn in origin.conns))


def test_a_declared_body_too_large_is_refused_instead_of_100(gateway):
    refused(gateway, b"POST /small/c HTTP/1.1\r\n" + H + b"Expect: 100-continue\r\n"
            b"Content-Length: 11\r\n\r\n", 413)


def test_a_chunked_body_that_grows_too_large(gateway, origin):
    before = len(origin.requests)
    record = refused(gateway, b"POST /small/d HTTP/1.1\r\n" + H +
                     b"Transfer-Encoding: chunked\r\n\r\n"
                     b"6\r\n012345\r\n6\r\n678901\r\n0\r\n\r\n", 413)
    assert record["cause"] == "body_too_large"
    assert len(origin.requests) == before, "a request that was refused is whole at the origin"


def test_the_answer_survives_a_body_that_goes_on(gateway):
    """Linger: closing with input unread would reset, and the reset would eat the answer."""
    with Quiet(gateway), gateway.client() as client:
        client.send(b"POST /small/e HTTP/1.1\r\n" + H + b"Content-Length: 200000\r\n\r\n")
        for _ in range(20):
            client.send(bytes(10000))
            time.sleep(0.005)
        assert client.response().status == 413
        assert client.ends()


def test_the_answer_survives_what_the_kernel_buffers_hold(gateway):
    """A client that reads after it has sent has megabytes on the way by then."""
    with Quiet(gateway), gateway.client() as client:
        client.send(b"POST /small/f HTTP/1.1\r\n" + H + b"Content-Length: 6000000\r\n\r\n")
        client.send(bytes(6000000))
        assert client.response().status == 413
        assert client.ends()


# Times

def test_no_head_in_time_is_408(gateway):
    with Quiet(gateway), gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost:")
        started = time.monotonic()
        assert client.response().status == 408
        assert time.monotonic() - started < 2
        assert client.ends()


def test_no_body_in_time_is_408(gateway):
    with Quiet(gateway), gateway.client() as client:
        client.send(b"POST /late HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n\r\nab")
        assert client.response().status == 408
        assert client.ends()
    gateway.record(path="/late", status=408, cause="client_timeout")


def test_an_idle_connection_is_closed_without_an_answer(gateway):
    with Quiet(gateway), gateway.client() as client:
        assert client.get("/").status == 200
        started = time.monotonic()
        assert client.ends(), "an answer that nobody asked for, or no end"
        assert 0.3 < time.monotonic() - started < 2


def test_an_idle_connection_that_never_spoke_is_closed(gateway):
    with Quiet(gateway), gateway.client() as client:
        # Whether it hears 408 first is left open by RFC 9110 15.5.9.
        rest = client.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")


def test_a_reader_that_stops_is_cut():
    size = 64 << 20

    def streams(conn):
        conn.request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))

    with Origin(streams) as origin:
        service = f"""
            all:
              url: "{origin.url}"
              routes: [{{path: /*}}]
            """
        with Ringway(service, client="write_idle: 500ms") as gateway, Quiet(gateway):
            with gateway.client(receive_buffer=4096) as client:
                client.send(b"GET /stopped HTTP/1.1\r\n" + H + b"\r\n")
                gateway.record(path="/stopped", cause="client_timeout")
                assert len(client.rest()) < size


def test_the_total_deadline_of_a_route_and_of_the_gateway():
    def never(conn, request):
        conn.peer_closes()

    with Origin(by_path({}, never)) as origin:
        service = f"""
            all:
              url: "{origin.url}"
              routes:
                - {{path: /*}}
                - {{path: /short, timeout: 300ms}}
            """
        with Ringway(service, gateway="timeout: 800ms") as gateway, Quiet(gateway):
            for path, least, most in (("/short", 0.25, 0.75), ("/long", 0.7, 2)):
                started = time.monotonic()
                assert gateway.get(path).status == 504
                assert least < time.monotonic() - started < most
                gateway.record(path=path, cause="total_timeout")


# Connections

HELD = b"GET /held HTTP/1.1\r\n" + H + b"\r\n"


class Holding:
    """An origin that answers /held only after release()."""

    def __init__(self):
        self.go = threading.Event()
        self.origin = Origin(by_path({"/held": self._held}))

    def _held(self, conn, _):
        self.go.wait(30)
        conn.send(OK)
        return True

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.go.set()
        self.origin.__exit__(*error)

    def service(self):
        return f"""
            all:
              url: "{self.origin.url}"
              routes: [{{path: /*}}]
            """


def new_client_is_served(gateway):
    try:
        with gateway.client() as client:
            response = client.get("/")
    except (OSError, AssertionError):
        return False
    return response is not None and response.status == 200


def test_max_connections_counts_all_shards():
    """Busy ones: an idle connection may be closed to make room for a new one."""
    with Holding() as holding:
        with Ringway(holding.service(), shards=2, gateway="max_connections: 10") as gateway:
            clients = [gateway.client().send(HELD) for _ in range(10)]
            holding.origin.wait_requests(10)
            # More than that wait, as they would in the kernel's queue, and are not lost.
            waiting = [gateway.client().send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
                       for _ in range(3)]
            time.sleep(0.3)
            assert sum(s["connections"] for s in gateway.status()["shards"]) == 10
            assert gateway.ready(), "the metrics port counts as a client"
            holding.go.set()
            assert [client.response().status for client in clients] == [200] * 10
            for client in clients:
                client.close()
            assert [client.response().status for client in waiting] == [200] * 3
            for client in waiting:
                client.close()
            assert eventually(lambda: new_client_is_served(gateway)), \
                "the place of a connection that ended is not given again"


def test_descriptors_running_out():
    """What is open goes on, what is new is answered or closed, and all recovers by itself."""
    with Holding() as holding:
        with Ringway(holding.service(), gateway="max_connections: 1000",
                     fd_limit=120) as gateway:
            assert re.search(r"(?i)descriptors|RLIMIT_NOFILE", gateway.said()), \
                "the start does not say that descriptors are missing"
            busy = [gateway.client().send(HELD) for _ in range(5)]
            holding.origin.wait_requests(5)
            crowd = []
            for _ in range(300):
                crowd.append(gateway.client())
                crowd[-1].send(b"GET / HT")
            time.sleep(0.3)
            assert gateway.process.fd_count() > 100, "descriptors did not run out"
            cpu = cpu_ticks(gateway.process.pid)
            time.sleep(0.5)
            assert cpu_ticks(gateway.process.pid) - cpu < 25, "spins while it waits"
            holding.go.set()
            assert [client.response().status for client in busy] == [200] * 5
            for client in crowd + busy:
                client.close()
            assert eventually(lambda: new_client_is_served(gateway), 10), "does not recover"


def cpu_ticks(pid):
    """User and system time in ticks of 10 ms."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.skipif(bool(SANITIZER), reason="a sanitizer's own memory hides ours")
def test_an_idle_connection_costs_at_most_one_kib(origin):
    """RSS with 10,000 idle connections, minus RSS of an idle instance for 100, over 9,900."""
    held, base = 10000, 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = held + 500
    assert hard >= needed or hard == resource.RLIM_INFINITY, "the tests need more descriptors"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    service = f"""
        all:
          url: "{origin.url}"
          routes: [{{path: /*}}]
        """
    try:
        with Ringway(service, gateway=f"max_connections: {base}") as small:
            small.get("/")
            idle = small.process.rss()
        with Ringway(service, gateway=f"max_connections: {held}",
                     client="keepalive: 5m") as large:
            clients = []
            for _ in range(held):
                client = large.client()
                client.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
                clients.append(client)
                if len(clients) % 100 == 0:
                    assert all(c.response().status == 200 for c in clients[-100:])
            full = large.process.rss()
            for client in clients:
                client.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (full - idle) / (held - base) <= 1024

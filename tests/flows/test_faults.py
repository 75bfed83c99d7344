"""Peers that break: each gives its documented answer and log cause, leaves nothing behind, and
the next request works.

Every test runs inside `unharmed`, which compares gauges, descriptors and threads before and
after, then sends one more request."""

import contextlib
import json
import random
import socket
import subprocess
import threading
import time

import pytest

from harness.client import RawClient
from harness.nginx import Nginx
from harness.origin import OK, Origin, by_path
from harness.process import SANITIZER, eventually, free_port
from harness.ringway import Quiet, Ringway

BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun"
BEGUN_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"


# What the origin does, by path. A script that returns True keeps its connection.

def stops_in_body(conn, _):
    conn.send(BEGUN)


def resets_in_body(conn, _):
    conn.send(BEGUN)
    time.sleep(0.05)        # a reset overtakes bytes that the receiver has not taken yet
    conn.reset()


def stops_in_chunks(conn, _):
    conn.send(BEGUN_CHUNKED)


def stalls_in_body(conn, _):
    conn.send(BEGUN)
    conn.peer_closes()


def closes_at_once(conn, _):
    pass


def resets_at_once(conn, _):
    conn.reset()


def talks_garbage(conn, _):
    conn.send(random.Random(1).randbytes(4000))


def never_answers(conn, _):
    conn.peer_closes()


def answers_in_bytes(conn, _):
    for at in range(len(OK)):
        conn.send(OK[at:at + 1])
        time.sleep(0.002)
    return True


def drips_forever(conn, _):
    conn.send(BEGUN_CHUNKED)
    while True:
        conn.send(b"1\r\nx\r\n")
        time.sleep(0.05)


def floods(conn, _):
    conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        conn.send(b"10000\r\n" + bytes(65536) + b"\r\n")


SCRIPTS = {"/stops-in-body": stops_in_body, "/resets-in-body": resets_in_body,
           "/stops-in-chunks": stops_in_chunks, "/stalls-in-body": stalls_in_body,
           "/closes-at-once": closes_at_once, "/resets-at-once": resets_at_once,
           "/talks-garbage": talks_garbage, "/never-answers": never_answers,
           "/answers-in-bytes": answers_in_bytes, "/drips-forever": drips_forever,
           "/floods": floods}


@pytest.fixture(scope="module")
def pair():
    with Origin(by_path(SCRIPTS), keep_log=False) as origin:
        services = f"""
            good:
              url: "{origin.url}"
              timeouts: {{connect: 1s, first_byte: 500ms, idle: 500ms, total: 2s}}
              routes: [{{path: /*}}]
            patient:
              url: "{origin.url}"
              routes: [{{path: /stall}}, {{path: /slow}}]
            refusing:
              url: "http://127.0.0.1:{free_port()}"
              routes: [{{path: /refusing}}]
            nameless:
              url: "http://no-such-name.invalid:80"
              routes: [{{path: /nameless}}]
            """
        with Ringway(services, client="body_idle: 1s, head_time: 1s, keepalive: 30s") as gateway:
            assert gateway.get("/warm").status == 200
            yield origin, gateway


@contextlib.contextmanager
def unharmed(gateway):
    with Quiet(gateway):
        yield
    assert gateway.get("/next").status == 200


@pytest.mark.parametrize("path, status, cause", [
    ("/closes-at-once", 502, "upstream_closed"),
    ("/resets-at-once", 502, "upstream_reset"),
    ("/talks-garbage", 502, "upstream_bad_response"),
    ("/never-answers", 504, "upstream_first_byte_timeout"),
    ("/refusing", 502, "upstream_connect_refused"),
    ("/nameless", 503, "upstream_name_unresolved"),
])
def test_a_fault_before_the_answer_is_told_to_the_client(pair, path, status, cause):
    _, gateway = pair
    with unharmed(gateway), gateway.client() as client:
        response = client.get(path, timeout_s=10)
        assert response.status == status
        assert response.value("Content-Type") == b"application/problem+json"
        problem = json.loads(response.body)
        assert problem["status"] == status
        record = gateway.record(id=problem["request_id"])
        assert (record["status"], record["cause"], record["path"]) == (status, cause, path)
        # Nothing is wrong with the client's side, so it may go on.
        assert client.get("/same-connection").status == 200


@pytest.mark.parametrize("path, cause", [
    ("/stops-in-body", "upstream_closed"),
    ("/resets-in-body", "upstream_reset"),
    ("/stops-in-chunks", "upstream_closed"),
    ("/stalls-in-body", "upstream_idle_timeout"),
    ("/drips-forever", "total_timeout"),
])
def test_a_fault_in_the_body_cuts_the_client(pair, path, cause):
    _, gateway = pair
    with unharmed(gateway), gateway.client() as client:
        client.send(b"GET %s HTTP/1.1\r\nHost: a.test\r\n\r\n" % path.encode())
        head = client.response_head()
        assert head.status == 200
        rest = client.rest(10)
        assert b"begun" in rest
        assert not rest.endswith(b"0\r\n\r\n") and len(rest) < 1000, "cut, but seems whole"
        assert gateway.record(path=path, cause=cause)["status"] == 200


def test_an_origin_that_answers_byte_by_byte_is_fine(pair):
    _, gateway = pair
    with unharmed(gateway):
        assert gateway.get("/answers-in-bytes").body == b"ok"


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("path", ["/never-answers", "/floods", "/drips-forever"])
def test_a_client_that_vanishes_ends_the_upstream_work(pair, path, end):
    origin, gateway = pair
    with unharmed(gateway):
        before = len(gateway.records())
        client = gateway.client()
        client.send(b"GET %s HTTP/1.1\r\nHost: a.test\r\n\r\n" % path.encode())
        origin.wait_for(lambda: any(r.target == path.encode() for r in origin.requests[-1:]))
        if path != "/never-answers":
            client.response_head()
        started = time.monotonic()
        getattr(client, end)()
        conn = origin.conns[origin.requests[-1].conn]
        assert conn.ended.wait(5), "the origin goes on working for nobody"
        if path == "/never-answers" and end == "reset":
            assert time.monotonic() - started < 0.4, "ended by the timeout, not by the client"
        eventually(lambda: len(gateway.records()) > before)
        record = gateway.records()[-1]
        # A plain close may be half of a conversation: then the answer's deadline decides.
        allowed = {"client_closed"}
        if path == "/never-answers" and end == "close":
            allowed.add("upstream_first_byte_timeout")
        assert (record["path"], record["cause"] in allowed) == (path, True), record


def test_a_client_that_vanishes_inside_its_body(pair):
    _, gateway = pair
    with unharmed(gateway):
        for number in range(10):
            client = gateway.client()
            client.send(b"POST /gone/%d HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nxx"
                        % number)
            time.sleep(0.02)
            client.reset()
            gateway.record(path=f"/gone/{number}", cause="client_closed")


def test_clients_that_connect_and_leave(pair):
    _, gateway = pair
    with unharmed(gateway):
        for number in range(200):
            client = gateway.client()
            if number % 3 == 1:
                client.send(b"GET / HT")
            if number % 2:
                client.reset()
            else:
                client.close()


def test_a_body_that_stalls_is_answered_408(pair):
    _, gateway = pair
    with unharmed(gateway), gateway.client() as client:
        client.send(b"POST /stall HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nxx")
        response = client.response(timeout_s=5)
        assert response.status == 408
        assert client.ends()
        gateway.record(path="/stall", cause="client_timeout")


def test_a_body_of_one_byte_at_a_time_is_fine(pair):
    _, gateway = pair
    with unharmed(gateway), gateway.client() as client:
        client.send(b"POST /slow HTTP/1.1\r\nHost: a.test\r\nContent-Length: 20\r\n\r\n")
        client.send_pieces(b"x" * 20, 1, 0.05)
        assert client.response().status == 200


def test_a_slow_head_is_answered_408_however_it_drips(pair):
    _, gateway = pair
    with unharmed(gateway), gateway.client() as client:
        started = time.monotonic()
        sender = threading.Thread(target=client.send_pieces,
                                  args=(b"GET /drip HTTP/1.1\r\nX: " + b"x" * 60, 1, 0.05))
        sender.start()
        response = client.response(timeout_s=5)
        assert response.status == 408
        assert 0.8 < time.monotonic() - started < 3
        sender.join()
        assert client.ends()
    assert gateway.record(status=408, cause="client_timeout")


def test_an_origin_that_is_killed_in_the_middle_of_a_body(nginx):
    """nginx as the origin, ended by SIGKILL while a client reads slowly."""
    with Nginx() as mine:
        (mine.files / "large").write_bytes(bytes(64 << 20))
        service = f"""
            all:
              url: "{mine.url}"
              routes: [{{path: /*}}]
            other:
              url: "{nginx.url}"
              routes: [{{path: /small}}]
            """
        with Ringway(service) as gateway:
            with Quiet(gateway):
                with gateway.client(receive_buffer=65536) as client:
                    client.send(b"GET /store/large HTTP/1.1\r\nHost: a.test\r\n\r\n")
                    head = client.response_head()
                    assert head.value("Content-Length") == b"%d" % (64 << 20)
                    children = subprocess.run(["ps", "-o", "pid=", "--ppid",
                                               str(mine.process.pid)],
                                              capture_output=True, text=True).stdout.split()
                    mine.process.kill()
                    subprocess.run(["kill", "-9", *children], check=True)
                    assert len(client.rest(10)) < 64 << 20
                record = gateway.record(path="/store/large", status=200)
                assert record["cause"] in ("upstream_closed", "upstream_reset")
                refused = gateway.get("/store/large")
                assert refused.status == 502
                gateway.record(path="/store/large", status=502,
                               cause="upstream_connect_refused")
            assert gateway.get("/small").status == 200


def test_an_origin_that_closes_idle_connections_at_random():
    """Idempotent requests never see it: the close is noticed, or the request is sent again."""
    rng = random.Random(7)
    lock = threading.Lock()

    def capricious(conn):
        while conn.request():
            conn.send(OK)
            with lock:
                leaves, after = rng.random() < 0.3, rng.random() * 0.004
            if leaves:
                time.sleep(after)
                return

    with Origin(capricious, keep_log=False) as origin:
        service = f"""
            all:
              url: "{origin.url}"
              routes: [{{path: /*}}]
            """
        with Ringway(service, shards=2) as gateway, Quiet(gateway):
            wrong = []

            def requests(count):
                with gateway.client() as client:
                    for _ in range(count):
                        answer = client.get("/")
                        if answer is None or answer.status != 200:
                            wrong.append(answer)
                            return

            threads = [threading.Thread(target=requests, args=(150,)) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not wrong, wrong[:3]


def test_an_origin_that_comes_back_is_used_again():
    port = free_port()
    service = f"""
        all:
          url: "http://127.0.0.1:{port}"
          routes: [{{path: /*}}]
        """
    with Ringway(service) as gateway:
        for _ in range(3):
            assert gateway.get("/").status == 502
            with Origin(port=port):
                assert gateway.get("/").status == 200


def test_load_goes_on_while_targets_die_and_come_back(full):
    """For the sanitizers above all: every path of failure, under load, on two shards."""
    seconds = 30 if full or SANITIZER else 4
    with Nginx() as first, Nginx() as second:
        service = f"""
            all:
              targets: [{{url: "{first.url}"}}, {{url: "{second.url}"}}]
              routes: [{{path: /*}}]
            """
        with Ringway(service, shards=2, gateway="max_connections: 1000") as gateway:
            with Quiet(gateway):
                wrk = subprocess.Popen(["wrk", "-t1", "-c50", f"-d{seconds}s",
                                        f"http://127.0.0.1:{gateway.port}/small"],
                                       stdout=subprocess.PIPE, text=True)
                try:
                    ends = time.monotonic() + seconds - 1
                    while time.monotonic() < ends:
                        for target in (first, second):
                            target.end()
                            time.sleep(0.3)
                            assert target.start()
                            time.sleep(0.2)
                finally:
                    said = wrk.communicate(timeout=seconds + 30)[0]
                assert gateway.process.running()
                assert "Requests/sec" in said, said
            assert [gateway.get("/small").status for _ in range(8)] == [200] * 8


def test_a_connect_that_hangs_is_ended_by_its_timeout():
    """A listener whose backlog is full: the kernel drops further SYNs."""
    with socket.socket() as full_listener:
        full_listener.bind(("127.0.0.1", 0))
        full_listener.listen(0)
        address = full_listener.getsockname()
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        time.sleep(0.1)
        service = f"""
            all:
              url: "http://127.0.0.1:{address[1]}"
              timeouts: {{connect: 300ms}}
              routes: [{{path: /*}}]
            """
        with Ringway(service) as gateway, Quiet(gateway):
            started = time.monotonic()
            assert gateway.get("/hangs").status == 504
            assert 0.25 < time.monotonic() - started < 2
            gateway.record(path="/hangs", cause="upstream_connect_timeout")
        for filler in fillers:
            filler.close()


def test_a_storm_of_broken_peers_leaves_nothing_behind(pair):
    """Everything above at once, clients leaving in the middle of it."""
    _, gateway = pair
    paths = sorted(SCRIPTS) + ["/fine", "/refusing", "/nameless"]

    def storm(seed):
        rng = random.Random(seed)
        for _ in range(25):
            client = RawClient(gateway.port)
            path = rng.choice(paths).encode()
            body = rng.choice([b"", b"Content-Length: 5\r\n\r\nhello"])
            raw = b"POST " + path + b" HTTP/1.1\r\nHost: a.test\r\n" + (body or b"\r\n")
            client.send(raw[:rng.randrange(1, len(raw) + 1)])
            time.sleep(rng.random() * 0.03)
            client.reset() if rng.random() < 0.5 else client.close()

    with unharmed(gateway):
        threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

"""The public counters add up: what the shards counted, what the access log has, and what the
clients saw are the same, whatever became of the requests. And the memory that they lie in may
be too small, full, deleted or in the way: each has its documented end."""

import collections
import os
import re
import signal
import subprocess
import threading

import pytest

from harness.certs import Authority
from harness.client import RawClient
from harness.metrics import by_status, counters, route, run_dump, segment_path
from harness.origin import Origin, by_path
from harness.process import BINARY, eventually, free_port
from harness.ringway import Ringway
from harness.tls import V12, Tls, ask, connected, context


def closes_at_once(conn, _):
    pass


def never_answers(conn, _):
    conn.peer_closes()


def fails(conn, _):
    conn.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    return True


def stalls_in_body(conn, _):
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun")
    conn.peer_closes()


SCRIPTS = {"/closes": closes_at_once, "/never": never_answers, "/fails": fails,
           "/stalls": stalls_in_body, "/stalls-on": stalls_in_body}
SERVICES = """
    app:
      url: "{origin}"
      timeouts: {{first_byte: 300ms, idle: 300ms, total: 5s}}
      routes:
        - {{name: posts, path: /post, methods: [POST], max_body: 1KiB}}
        - {{name: rest, path: /*, methods: [GET]}}
    patient:
      url: "{origin}"
      routes: [{{name: long, path: /stalls-on}}]
    refusing:
      url: "http://127.0.0.1:{nobody}"
      retry: {{attempts: 2}}
      routes: [{{name: all, path: /refusing}}]
    fixed:
      respond: {{status: 204}}
      routes: [{{path: /fixed}}]
    moved:
      redirect: {{to: "https://b.test/", status: 302}}
      routes: [{{path: /moved}}]
    limited:
      respond: {{status: 204}}
      routes: [{{name: few, path: /few, rate_limit: {{rate: 1/h, burst: 3}}}}]
"""


def lines(gateway):
    """How many the access log has, and how many of them are no requests."""
    found, greetings = 0, 0
    if not gateway.log_path.exists():
        return found, greetings
    with open(gateway.log_path, "rb") as log:
        for line in log:
            found += line.endswith(b"\n")
            greetings += b'"method":"",' in line and b'"status":0,' in line
    return found, greetings


def settled(gateway):
    """When nothing is in flight and the log has been written."""
    def quiet():
        now = counters(gateway.instance)["sum"]
        return not now["connections"] and not now["requests_now"] and \
            lines(gateway)[0] == now["log_records"] - now["log_dropped"]
    eventually(quiet, 20.0, 0.2)
    return counters(gateway.instance)


def check_sums(found, gateway):
    """Everything that must hold whatever happened."""
    total = found["sum"]
    logged, greetings = lines(gateway)
    assert total["connections"] == total["requests_now"] == total["handshakes_now"] == 0
    assert total["log_records"] == logged + total["log_dropped"]
    assert total["log_records"] == total["requests"] + total["greetings_logged"]
    if not total["log_dropped"]:
        assert total["greetings_logged"] == greetings
    assert sum(by_status(found).values()) == total["requests"]
    assert sum(r["durations"] for r in found["routes"]) == total["requests"]
    assert total["limits_admitted"] + total["limits_refused"] + total["limits_no_room"] == \
        sum(sum(r["requests"].values()) for r in found["routes"] if r["service"] == "limited")
    assert total["requests_sized"] == total["responses_sized"] == total["requests"]
    assert total["attempts"] == sum(e.get("attempts", 0) for e in found["endpoints"])
    assert sum(e.get("attempts_now", 0) for e in found["endpoints"]) == 0
    assert total["handshakes_timed"] == total["handshakes_full"] + total["handshakes_resumed"]
    assert sum(r["first_bytes"] for r in found["routes"]) == \
        sum(e.get("answers", 0) for e in found["endpoints"])


def check_records(found, records):
    """Where every record was written and can be looked at."""
    total = found["sum"]
    requests = [r for r in records if r["method"] or r["status"]]
    assert total["log_dropped"] == 0
    assert total["failed"] == dict(collections.Counter(r["cause"] for r in requests
                                                       if r.get("cause")))
    assert total["bytes_in"] == sum(r["bytes_in"] for r in requests)
    assert total["bytes_out"] == sum(r["bytes_out"] for r in requests)
    assert total["attempts"] == sum(r["attempts"] for r in requests)


class Clients:
    """Does things and notes what came back, by status class; None: nothing did."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.seen = collections.Counter()

    def note(self, status, method="read"):
        kind = "none" if status is None else f"{status // 100}xx"
        self.seen[f"{method} {kind}"] += 1

    def get(self, path, times=1):
        for _ in range(times):
            self.note(self.gateway.get(path).status)

    def raw(self, data, method, expected):
        with self.gateway.client() as client:
            answer = client.send(data).response(method=method)
            assert answer.status == expected, answer
            return answer.status


def every_kind(gateway, times):
    clients = Clients(gateway)
    with gateway.client() as keeps:
        for _ in range(times):
            clients.note(keeps.get("/").status)
    clients.get("/", times)
    clients.get("/fixed", times)
    clients.get("/moved", times)
    clients.get("/fails", times)
    clients.get("/closes", times)
    clients.get("/never", 2)
    clients.get("/few", times)
    clients.get("/refusing", times)
    for _ in range(times):
        clients.note(clients.raw(b"DELETE / HTTP/1.1\r\nHost: a.test\r\n\r\n", "DELETE", 405),
                     "write")
        clients.note(clients.raw(b"TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n", "TRACE", 405),
                     "other")
        clients.note(clients.raw(b"POST /post HTTP/1.1\r\nHost: a.test\r\n"
                                 b"Content-Length: 5\r\n\r\nhello", "POST", 200), "write")
        clients.note(clients.raw(b"POST /post HTTP/1.1\r\nHost: a.test\r\n"
                                 b"Content-Length: 5000\r\n\r\n", "POST", 413), "write")
        clients.note(clients.raw(b"POST /nowhere HTTP/1.1\r\nHost: a.test\r\n"
                                 b"Content-Length: 0\r\n\r\n", "POST", 405), "write")
        # No head that could be read: of no method.
        clients.note(clients.raw(b"GET / HTTP/1.1\r\nHost : a.test\r\n\r\n", "GET", 400), "other")
        # Vanishes before an answer, and in the middle of one.
        with gateway.client() as client:
            client.send(b"GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n")
            client.stays_open(0.05)
            client.reset()
        clients.note(None)
        with gateway.client() as client:
            client.send(b"GET /stalls-on HTTP/1.1\r\nHost: a.test\r\n\r\n")
            assert client.response_head().status == 200
            client.reset()
        clients.note(200)
        # Says nothing at all: no request.
        gateway.client().close()
    # An answer that breaks off.
    with gateway.client() as client:
        client.send(b"GET /stalls HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert client.response_head().status == 200
        client.rest()
    clients.note(200)
    return clients.seen


@pytest.fixture(name="origin")
def running_origin():
    with Origin(by_path(SCRIPTS), keep_log=False) as origin:
        yield origin


def test_shards_log_and_clients_count_the_same(origin):
    services = SERVICES.format(origin=origin.url, nobody=free_port())
    with Ringway(services, shards=2) as gateway:
        seen = every_kind(gateway, 5)
        # Neither scrapes nor the admin socket are traffic.
        assert gateway.probe("/health") == 200
        gateway.status()
        found = settled(gateway)
        check_sums(found, gateway)
        check_records(found, gateway.records())
        assert by_status(found) == dict(seen)
        assert found["pid"] == gateway.process.child.pid
        total = found["sum"]
        assert total["failed"]["upstream_connect_refused"] == 5
        assert total["failed"]["rate_limited"] == total["limits_refused"] == 2
        assert total["retries"] >= 10
        assert route(found, "refusing", "all")["requests"] == {"read 5xx": 5}
        assert route(found, "limited", "few")["requests"] == {"read 2xx": 3, "read 4xx": 2}
        assert route(found, "app", "posts")["requests"] == {"write 2xx": 5, "write 4xx": 5}
        # DELETE and TRACE /, POST elsewhere, and heads that are none.
        assert route(found, "", "")["requests"] == {"write 4xx": 10, "other 4xx": 10}
        app = next(e for e in found["endpoints"] if e["service"] == "app")
        assert app["reused"] > 0 and app["connects"] > 0
        assert app["answers_5xx"] == 5
        assert total["connects_timed"] <= total["connects"]
        assert all(s["thread"] > 0 for s in total["shards"])
        assert total["turns"] > 0 and total["completions"] > total["requests"]
        assert total["busy_ns"] > 0


def test_tls_handshakes_and_what_fails_before_a_request(tmp_path, origin):
    authority = Authority(tmp_path)
    certificate = authority.issue("server", ["a.test"])
    with Tls([certificate], f'app: {{url: "{origin.url}", routes: [{{path: "/*"}}]}}',
             shards=2) as gateway:
        ctx = context(authority)
        for _ in range(4):
            with connected(gateway.tls_port, ctx) as s:
                assert ask(s, "/")[0] == 200
                assert ask(s, "/")[0] == 200
        old = context(authority, V12, V12)
        with connected(gateway.tls_port, old) as s:
            assert ask(s, "/")[0] == 200
            session = s.session
        with connected(gateway.tls_port, old, session=session) as s:
            assert s.session_reused
            assert ask(s, "/")[0] == 200
        with RawClient(gateway.tls_port) as garbage:
            garbage.send(b"\x99" * 100).rest()
        with RawClient(gateway.tls_port) as plain:
            assert plain.get("/").status == 400
        RawClient(gateway.tls_port).close()     # a probe: neither logged nor counted
        found = settled(gateway)
        check_sums(found, gateway)
        check_records(found, gateway.records())
        total = found["sum"]
        assert total["requests"] == 4 * 2 + 2 + 1
        assert total["handshakes_full"] == 5
        assert total["handshakes_resumed"] == 1
        assert total["greetings_failed"] == {"tls_garbage": 1, "tls_plain_http": 1}
        assert total["greetings_logged"] == 1


def test_without_an_access_log_requests_count_all_the_same(origin):
    with Ringway(f'app: {{url: "{origin.url}", routes: [{{path: "/*"}}]}}', shards=2,
                 logging="access: off") as gateway:
        for _ in range(7):
            assert gateway.get("/").status == 200
        total = settled(gateway)["sum"]
        assert (total["requests"], total["log_records"]) == (7, 0)


def test_numbers_hold_over_reloads_and_names_beyond_the_budget_share_one(origin):
    def services(names):
        routes = ", ".join(f"{{name: {n}, path: /{n}}}" for n in names)
        return f'app: {{url: "{origin.url}", routes: [{routes}]}}'

    with Ringway(services(["a", "b"]), shards=2) as gateway:
        gateway.get("/a")
        gateway.write_config(services(["b", "a", "c"]))
        assert gateway.admin("reload").returncode == 0
        gateway.get("/a")
        gateway.get("/c")
        gateway.write_config("app: {nonsense: 1}")
        assert gateway.admin("reload").returncode != 0
        found = settled(gateway)
        assert route(found, "app", "a")["requests"] == {"read 2xx": 2}
        assert route(found, "app", "c")["requests"] == {"read 2xx": 1}
        assert eventually(lambda: counters(gateway.instance)["generation"] == 2)
        assert (found["reloads"], found["reloads_failed"]) == (1, 1)

    class Small(Ringway):
        def config_text(self):
            return super().config_text().replace("monitoring:\n",
                                                 "monitoring:\n  label_budget: 2\n")

    with Small(services(["a", "b", "c", "d"]), shards=2) as gateway:
        for name in "abcd":
            assert gateway.get(f"/{name}").status == 200
        found = settled(gateway)
        assert route(found, "app", "b")["requests"] == {"read 2xx": 1}
        assert route(found, "", "__overflow__")["requests"] == {"read 2xx": 2}
        assert found["sum"]["requests"] == 4


def test_readers_that_are_killed_and_a_file_that_is_deleted_do_no_harm(origin):
    with Ringway(f'app: {{url: "{origin.url}", routes: [{{path: "/*"}}]}}', shards=2) as gateway:
        path = segment_path(gateway.instance)
        assert path.stat().st_mode & 0o777 == 0o640
        for _ in range(20):
            reader = subprocess.Popen([BINARY.parent / "tests" / "flows" / "metrics_dump",
                                       gateway.instance], stdout=subprocess.DEVNULL)
            assert gateway.get("/").status == 200
            reader.kill()
            reader.wait()
        assert settled(gateway)["sum"]["requests"] == 20
        path.unlink()
        assert run_dump(gateway.instance).returncode == 1
        for _ in range(5):
            assert gateway.get("/").status == 200
        assert gateway.admin("reload").returncode == 0
        assert gateway.get("/").status == 200
    assert not path.exists()


def test_a_segment_of_another_layout_is_refused_politely(origin):
    with Ringway(f'app: {{url: "{origin.url}", routes: [{{path: "/*"}}]}}') as gateway:
        with open(segment_path(gateway.instance), "r+b") as file:
            file.seek(8)
            file.write((99).to_bytes(4, "little"))
        done = run_dump(gateway.instance)
        assert done.returncode == 1
        assert "segment of another version" in done.stderr
        assert gateway.get("/").status == 200


def test_nothing_is_left_when_a_process_is_killed_and_the_next_one_starts(origin):
    with Ringway(f'app: {{url: "{origin.url}", routes: [{{path: "/*"}}]}}') as gateway:
        gateway.get("/")
        gateway.process.signal(signal.SIGKILL)
        gateway.process.wait()
        assert segment_path(gateway.instance).exists()
        assert run_dump(gateway.instance).returncode == 1
        gateway.start()
        assert counters(gateway.instance)["sum"]["requests"] == 0


# ---- /dev/shm as it should not be ----

def start_with_shm(gateway, size, after=""):
    """`ringway run` where /dev/shm is that small; None when this user may not mount."""
    mount = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True,
                      check=False).returncode != 0:
        pytest.skip("needs the right to mount")
    gateway.pick_ports()
    gateway.write_config()
    return subprocess.Popen(
        ["unshare", "-m", "sh", "-c", f"{mount} && {after} exec {BINARY} run {gateway.config_path}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def stop(process):
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 0, said
    return said


def unstarted(runtime=""):
    return Ringway("fixed: {respond: {status: 204}, routes: [{path: /fixed}]}", shards=2,
                   runtime=runtime)


def test_too_small_is_an_error_that_names_the_bytes():
    gateway = unstarted()
    try:
        process = start_with_shm(gateway, "256k")
        said = process.communicate(timeout=20)[1]
        assert process.returncode == 1
        numbers = re.search(r"need (\d+) bytes in /dev/shm, where (\d+) are free", said)
        assert numbers, said
        assert int(numbers[1]) > 1 << 20
        assert int(numbers[2]) == 256 << 10
        assert "runtime.metrics_memory: private" in said
    finally:
        gateway.discard()


def test_small_is_enough_and_full_later_does_no_harm():
    gateway = unstarted()
    try:
        process = start_with_shm(gateway, "64m")
        assert eventually(gateway.ready, 15.0)
        # Filled up to the last page, as this process sees its /dev/shm.
        fill = subprocess.run(["dd", "if=/dev/zero", f"of=/proc/{process.pid}/root/dev/shm/full",
                               "bs=64k"], capture_output=True, text=True, check=False)
        assert "No space left" in fill.stderr
        for _ in range(200):
            assert gateway.get("/fixed").status == 204
        assert gateway.admin("reload").returncode == 0
        assert gateway.get("/fixed").status == 204
        stop(process)
    finally:
        gateway.discard()


def test_without_a_limit_there_is_room():
    """Mounted with size=0, /dev/shm says that 0 of 0 bytes are free."""
    gateway = unstarted()
    try:
        process = start_with_shm(gateway, "0")
        assert eventually(gateway.ready, 15.0)
        assert gateway.get("/fixed").status == 204
        stop(process)
    finally:
        gateway.discard()


def test_room_for_bytes_but_for_no_file_is_told():
    gateway = unstarted()
    try:
        process = start_with_shm(gateway, "64m,nr_inodes=1")
        said = process.communicate(timeout=20)[1]
        assert process.returncode == 1
        assert "nr_inodes" in said and "runtime.metrics_memory: private" in said
        assert "bytes in /dev/shm" not in said
    finally:
        gateway.discard()


def test_private_memory_needs_no_dev_shm():
    gateway = unstarted("metrics_memory: private")
    try:
        process = start_with_shm(gateway, "4k")
        assert eventually(gateway.ready, 15.0)
        assert gateway.get("/fixed").status == 204
        stop(process)
    finally:
        gateway.discard()


# ---- much of it ----

CONNECTIONS = 32        # of wrk
# Path, service and route, and the classes of its answers.
MUCH_KINDS = (("/fixed", ("fixed", "fixed[0]"), {"read 2xx"}),
              ("/nowhere/else", ("app", "rest"), {"read 2xx"}),
              ("/few", ("limited", "few"), {"read 2xx", "read 4xx"}),
              ("/refusing", ("refusing", "all"), {"read 5xx"}))


def wrk(url, seconds):
    """Answers, by wrk's own count: (complete ones, those that were no 2xx or 3xx)."""
    done = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", url],
                          capture_output=True, text=True, check=True).stdout
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    return int(re.search(r"(\d+) requests in", done)[1]), int(errors[1]) if errors else 0


def resets_until(gateway, stop, ret_sent):
    """Clients that ask for an answer of which nothing comes, and vanish with a reset."""
    while not stop.is_set():
        with gateway.client() as client:
            client.send(b"GET /never HTTP/1.1\r\nHost: reset.test\r\n\r\n")
            client.stays_open(0.05)
            client.reset()
        ret_sent.append(1)


def test_under_load_nothing_is_lost_or_counted_twice(tmp_path, origin, full):
    """wrk drops what is in flight at its end, which the gateway may have answered or seen
    vanish: as many as it had connections, at each of its ends."""
    wanted, loads = (1_000_000, 3) if full else (20_000, 1)
    certificate = Authority(tmp_path).issue("server", ["a.test"])
    services = SERVICES.format(origin=origin.url, nobody=free_port())
    answered, refused = collections.Counter(), collections.Counter()
    kinds, resets, stop, rounds = [], [], threading.Event(), 0
    with Tls([certificate], services, shards=2) as gateway:
        others = [threading.Thread(target=lambda: kinds.append(every_kind(gateway, 5))),
                  threading.Thread(target=resets_until, args=(gateway, stop, resets))]
        for thread in others:
            thread.start()
        while sum(answered.values()) < wanted or rounds < 2:
            scheme, port = (("http", gateway.port), ("https", gateway.tls_port))[rounds % 2]
            for path, which, _ in MUCH_KINDS:
                got, bad = wrk(f"{scheme}://127.0.0.1:{port}{path}", loads)
                answered[which] += got
                refused[which] += bad
            rounds += 1
        stop.set()
        for thread in others:
            thread.join()
        found = settled(gateway)
        check_sums(found, gateway)
        total = found["sum"]
        slack = CONNECTIONS * rounds
        own = sum(kinds[0].values()) + len(resets)
        assert sum(answered.values()) + own <= total["requests"] <= \
            sum(answered.values()) + own + slack * len(MUCH_KINDS)
        # Of each route; `every_kind` has asked some of them a few times.
        for _, which, classes in MUCH_KINDS:
            counted = route(found, *which)["requests"]
            of_load = sum(n for kind, n in counted.items() if kind in classes)
            assert 0 <= of_load - answered[which] <= slack + own, (which, counted)
        few = route(found, "limited", "few")["requests"]
        assert few["read 2xx"] == total["limits_admitted"] == 3
        assert few["read 4xx"] == total["limits_refused"] == total["failed"]["rate_limited"]
        assert 0 <= few["read 4xx"] - refused["limited", "few"] <= slack + own
        assert total["failed"]["upstream_connect_refused"] == \
            route(found, "refusing", "all")["requests"]["read 5xx"]
        assert total["failed"]["client_closed"] >= len(resets) > 0
        assert total["handshakes_full"] + total["handshakes_resumed"] >= CONNECTIONS
        assert all(s["requests"] > 0 for s in total["shards"])


def test_the_reader_does_not_need_to_be_the_owner(origin):
    """Another user of the group reads; one outside it may not."""
    if os.geteuid() != 0:
        pytest.skip("needs two users")
    with Ringway(f'app: {{url: "{origin.url}", routes: [{{path: "/*"}}]}}') as gateway:
        path = segment_path(gateway.instance)
        for group, readable in ((os.getegid(), True), (65534, False)):
            done = subprocess.run(["head", "-c1", path], capture_output=True, check=False,
                                  user=65534, group=group, extra_groups=[])
            assert (done.returncode == 0) == readable, done.stderr

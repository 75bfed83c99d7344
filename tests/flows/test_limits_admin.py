"""Limits while they run: seen and changed over the admin socket, and carried over a restart."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
import urllib.parse

import pytest

from harness.process import eventually, patience
from harness.ringway import Ringway, command

SERVICES = """
    hello:
      respond: {body: "hello"}
      routes:
        - {name: slow, path: /slow, delay: 60s}
        - {name: all, path: "/*", limits: [per-user]}
    """
PER_USER = "per-user: {key: \"header:X-User\", rate: 1/h, burst: 20}"


def limits(*lines):
    return "limits:\n" + "\n".join(f"  {line}" for line in lines)


def gateway(*lines, services=SERVICES, **options):
    return Ringway(services, top=limits(*(lines or [PER_USER])), **options)


def kept(**options):
    return gateway(options=["--keep-state"], **options)


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=patience(20))
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def admin(ringway, method, path, body=None):
    """Status and JSON of one request to the admin socket."""
    connection = Unix(ringway.socket_path)
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None


def user(name):
    return b"X-User: %s\r\n" % name.encode()


def ask(ringway, name):
    return ringway.get("/", extra=user(name)).status


def spend(ringway, name, most=100):
    """Asks until it is refused; how many were admitted."""
    with ringway.client() as client:
        for admitted in range(most):
            if client.get("/", extra=user(name)).status == 429:
                return admitted
    raise AssertionError(f"{most} requests and no end")


@contextlib.contextmanager
def load(ringway, threads=4):
    """Others ask all the while, each under names of its own, and bear a restart."""
    done = threading.Event()
    asked = [0] * threads

    def work(number):
        turn = 0
        while not done.is_set():
            turn += 1
            try:
                with ringway.client() as client:
                    for i in range(50):
                        if client.get("/", extra=user(f"load-{number}-{turn % 97}")) is None:
                            break
                        asked[number] += 1
            except (OSError, AssertionError):
                time.sleep(0.01)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield asked
    finally:
        done.set()
        for worker in workers:
            worker.join()
    assert all(asked)


def on_each_shard(ringway, shards=2):
    """A connection to each shard, by what its log record says."""
    found = {}
    for attempt in range(64):
        client = ringway.client()
        client.get(f"/probe-{attempt}", extra=user(f"probe-{attempt}"))
        shard = ringway.record(path=f"/probe-{attempt}")["shard"]
        if shard in found:
            client.close()
        else:
            found[shard] = client
        if len(found) == shards:
            return found
    raise AssertionError(f"all connections came to {list(found)}")


# Seeing

def test_list_and_show_say_what_is_in_force():
    with gateway(PER_USER, 'hourly: {key: [ip, "header:X-User"], rate: 1000/h, '
                           "algorithm: sliding_window}",
                 "places: {key: global, concurrency: 3}",
                 services=SERVICES.replace("[per-user]", "[per-user, hourly, places]")) as ringway:
        assert ask(ringway, "alice") == 200
        status, answer = admin(ringway, "GET", "/limits")
        assert status == 200
        of = {limit["name"]: limit for limit in answer["limits"]}
        assert list(of) == ["per-user", "hourly", "places"]
        assert (of["per-user"]["rate"], of["per-user"]["burst"]) == ("1/h", 20)
        assert (of["per-user"]["requests"], of["per-user"]["seconds"]) == (1, 3600)
        assert (of["hourly"]["algorithm"], of["hourly"]["rate"]) == ("sliding_window", "1000/h")
        assert "burst" not in of["hourly"]
        assert (of["places"]["algorithm"], of["places"]["concurrency"]) == ("concurrency", 3)
        assert not any(limit["changed"] for limit in of.values())
        assert all(limit["used"] for limit in of.values())

        status, answer = admin(ringway, "GET", "/limits/per-user?key=header:x-user%3Dalice")
        assert status == 200
        assert answer["state"]["key"] == "header:x-user=alice"
        assert (answer["state"]["remaining"], answer["state"]["fresh"]) == (19, False)
        assert 3500 < answer["state"]["reset_s"] <= 3600
        # The value alone will do, and who was never seen is fresh.
        answer = admin(ringway, "GET", "/limits/per-user?key=bob")[1]
        assert (answer["state"]["remaining"], answer["state"]["fresh"]) == (20, True)

        text = ringway.admin("limits", "list").stdout
        assert re.findall(r"^(\w\S+)", text, re.M) == ["limit", "per-user", "hourly", "places"]
        assert all(len(line) <= 80 for line in text.splitlines()), text
        assert json.loads(ringway.admin("limits", "list", "--json").stdout)["limits"]
        text = ringway.admin("limits", "show", "per-user", "alice").stdout
        assert "rate         1/h" in text and "remaining  19" in text


def test_requests_in_progress_are_seen_and_free_their_place():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        services = f"""
            silent:
              url: "http://127.0.0.1:{silent.getsockname()[1]}"
              routes: [{{name: all, path: "/*", limits: [places]}}]
            """
        with gateway("places: {key: global, concurrency: 2}", services=services,
                     drain="300ms") as ringway:
            def in_progress():
                answer = admin(ringway, "GET", "/limits/places?key=global")[1]
                return answer["state"]["in_progress"]

            assert in_progress() == 0
            with ringway.client() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
                assert eventually(lambda: in_progress() == 1)
                assert admin(ringway, "POST", "/limits/places", "concurrency=1")[0] == 200
                # No place is taken from who has one, and none is left.
                assert in_progress() == 1
                assert ringway.get("/").status == 503
                silent.accept()[0].close()
                assert client.response().status == 502
                assert in_progress() == 0


def test_a_list_larger_than_a_block():
    lines = [f"limit-{i:03}-{'x' * 40}: {{key: ip, rate: 100/s}}" for i in range(500)]
    with gateway(PER_USER, *lines) as ringway:
        answer = admin(ringway, "GET", "/limits")[1]
        assert len(json.dumps(answer)) > 100_000
        assert len(answer["limits"]) == 501
        # Nobody uses them, which is said, and nothing of theirs can be set.
        assert not answer["limits"][1]["used"]
        status, answer = admin(ringway, "POST", f"/limits/{answer['limits'][1]['name']}",
                               "rate=5/s")
        assert status == 409 and "on no route" in answer["detail"]
        assert ringway.admin("limits", "list").stdout.count("limit-") == 500


@pytest.mark.skipif(not shutil.which("wrk"), reason="there is no wrk")
def test_a_hot_key_shows_with_what_shards_hold():
    with gateway("per-user: {key: \"header:X-User\", rate: 500000/s, burst: 100000}",
                 shards=2) as ringway:
        load = subprocess.Popen(["wrk", "-t1", "-c16", "-d3", "-H", "X-User: alice",
                                 f"http://127.0.0.1:{ringway.port}/"],
                                stdout=subprocess.DEVNULL)
        try:
            def hot():
                return [key for key in admin(ringway, "GET", "/limits/per-user")[1]["hot"]
                        if key["key"] == "header:x-user=alice" and key["may_hold"] > 0]
            assert eventually(hot, 3.0)
            assert 1 <= hot()[0]["shards"] <= 2
            text = ringway.admin("limits", "show", "per-user").stdout
            assert "hot keys" in text and "header:x-user=alice" in text
        finally:
            load.wait(patience(20))
        # Idle leases go back.
        assert eventually(lambda: not hot(), 5.0)


# Setting

def test_a_change_is_in_force_on_both_shards_within_100_ms():
    """Each shard is asked all the while. What is asked after the change was answered goes by
    the new terms, without exception; and the answer comes soon."""
    with gateway(shards=2) as ringway:
        spend(ringway, "busy")
        connections = on_each_shard(ringway)
        seen = {shard: [] for shard in connections}
        done = threading.Event()

        def work(shard):
            while not done.is_set():
                asked = time.monotonic()
                status = connections[shard].get("/", extra=user("busy")).status
                seen[shard].append((asked, status))
                time.sleep(0.001)

        workers = [threading.Thread(target=work, args=(shard,)) for shard in connections]
        for worker in workers:
            worker.start()
        time.sleep(0.2)
        changes = []
        for terms in ("rate=5000/s", "rate=1/h") * 5:
            sent = time.monotonic()
            assert admin(ringway, "POST", "/limits/per-user", terms)[0] == 200
            changes.append((sent, time.monotonic(), terms))
            time.sleep(0.3)
        changes.append((time.monotonic(), None, None))
        done.set()
        for worker in workers:
            worker.join()
        for (_, answered, terms), (until, _, _) in zip(changes, changes[1:]):
            after = {shard: [status for asked, status in answers if answered < asked < until]
                     for shard, answers in seen.items()}
            assert all(after.values()), f"a shard answered nothing: {after}"
            if terms == "rate=5000/s":
                assert all(set(statuses) == {200} for statuses in after.values()), after
            else:
                # What is left of the burst is spent, then all are refused.
                assert sum(statuses.count(200) for statuses in after.values()) <= 20, after
                assert all(statuses[-1] == 429 for statuses in after.values()), after
        times = sorted(answered - sent for sent, answered, _ in changes[:-1])
        print(f"in force after {times[0] * 1000:.1f} to {times[-1] * 1000:.1f} ms")
        # A host that has no time for us says nothing about the gateway.
        assert times[len(times) // 2] < patience(0.1)
        for client in connections.values():
            client.close()


def test_what_is_not_named_stays():
    with gateway(PER_USER, "both: {key: ip, rate: 10/s, burst: 7, concurrency: 4}",
                 services=SERVICES.replace("[per-user]", "[per-user, both]")) as ringway:
        def terms():
            answer = admin(ringway, "GET", "/limits/both")[1]
            return answer["rate"], answer["burst"], answer["concurrency"]

        assert terms() == ("10/s", 7, 4)
        assert admin(ringway, "POST", "/limits/both", "rate=5")[0] == 200
        assert terms() == ("5/s", 7, 4)
        assert admin(ringway, "POST", "/limits/both", '{"burst": 9}')[0] == 200
        assert terms() == ("5/s", 9, 4)
        assert ringway.admin("limits", "set", "both", "concurrency=1",
                             "rate=1000/h").returncode == 0
        assert terms() == ("1000/h", 9, 1)
        answer = admin(ringway, "GET", "/limits/both")[1]
        assert answer["changed"]
        assert answer["file"] == {"rate": "10/s", "requests": 10, "seconds": 1.0, "burst": 7,
                                  "concurrency": 4}
        assert "was set from 5/s burst 9, 4 at a time to 1000/h burst 9, 1 at a time" \
            in ringway.process.stderr


def test_a_reload_undoes_what_was_set_live_and_says_so():
    with gateway() as ringway:
        assert admin(ringway, "POST", "/limits/per-user", "burst=5")[0] == 200
        assert "*" in ringway.admin("limits", "list").stdout
        spend(ringway, "alice")
        done = ringway.admin("reload")
        assert done.returncode == 0
        line = "the limit `per-user` is 1/h burst 20 again, as the file says; it was set to " \
               "1/h burst 5 live"
        assert line in done.stderr
        assert f"reload: {line}" in ringway.process.stderr
        assert not admin(ringway, "GET", "/limits/per-user")[1]["changed"]
        # The five that she has used count.
        assert spend(ringway, "alice") == 15
        # Nothing was live: nothing is said, also where the file itself has changed.
        ringway.config_path.write_text(ringway.config_text().replace("burst: 20", "burst: 30"))
        assert json.loads(ringway.admin("reload", "--json").stdout)["limits_undone"] == []
        assert admin(ringway, "GET", "/limits/per-user")[1]["burst"] == 30


def test_a_change_waits_for_the_end_of_a_reload():
    with gateway() as ringway:
        fifo = ringway.folder / "fifo"
        os.mkfifo(fifo)
        ringway.write_config(SERVICES.replace('"hello"', '"${file:fifo}"'))
        ringway.process.signal(signal.SIGHUP)
        answers = []
        # The reader is there when the file can be opened for writing.
        writer = None
        def opened():
            nonlocal writer
            try:
                writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return False
            return True
        assert eventually(opened)
        change = threading.Thread(target=lambda: answers.append(
            admin(ringway, "POST", "/limits/per-user", "burst=7")))
        change.start()
        time.sleep(0.2)
        assert not answers
        # Looking on does not wait.
        assert admin(ringway, "GET", "/limits/per-user")[1]["burst"] == 20
        os.write(writer, b"again")
        os.close(writer)
        change.join()
        assert answers[0][0] == 200 and answers[0][1]["burst"] == 7
        assert ringway.get("/", extra=user("a")).body == b"again"


def test_who_gives_up_waiting_does_no_harm():
    with gateway() as ringway:
        os.mkfifo(ringway.folder / "fifo")
        ringway.write_config(SERVICES.replace('"hello"', '"${file:fifo}"'))
        ringway.process.signal(signal.SIGHUP)
        time.sleep(0.2)
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(ringway.socket_path))
                client.sendall(b"POST /limits/per-user HTTP/1.1\r\nHost: a\r\n"
                               b"Content-Length: 7\r\n\r\nburst=7")
                time.sleep(0.01)
        with open(ringway.folder / "fifo", "w") as fifo:
            fifo.write("again")
        assert eventually(lambda: ringway.get("/", extra=user("a")).body == b"again")
        # What was asked for whole may have been done.
        assert admin(ringway, "GET", "/limits/per-user")[1]["burst"] in (7, 20)
        assert eventually(lambda: ringway.process.fd_count() < 100)


# Reset

def test_numbers_in_json_are_what_was_written():
    with gateway() as ringway:
        for number in ("0.1", "2.5", "0.007", "1e3"):
            status, said = admin(ringway, "POST", "/limits/per-user", '{"rate": %s}' % number)
            assert status == 200, said
            per_second = said["requests"] / said["seconds"]
            assert per_second == pytest.approx(float(number)), said


def test_a_cap_is_no_other_limit_whatever_routes_are_called():
    services = """
        api:
          respond: {body: ok}
          routes:
            - {name: "b#concurrency", path: /b, rate_limit: {requests_per_second: 300}}
            - {name: "concurrency:b", path: /d, rate_limit: {requests_per_second: 300}}
            - {name: b, path: /c, rate_limit: {concurrency: 3}}
        """
    with Ringway(services) as ringway:
        said = {limit["name"]: limit for limit in admin(ringway, "GET", "/limits")[1]["limits"]}
        assert not [name for name, limit in said.items() if limit["changed"]]
        assert [ringway.get("/b").status for _ in range(10)] == [200] * 10
        assert said["route:api/b#concurrency"]["rate"] == "300/s"
        assert said["route:api/b"]["concurrency"] == 3


def many_limits(generation, names=600, key="ip"):
    """As many limits, under names of their own; `key` in all of them makes for warnings."""
    named = [f"g{generation}-{n}" for n in range(names)]
    routes = "".join(f"\n        - {{path: /{n}, limits: [{', '.join(named[n:n + 15])}]}}"
                     for n in range(0, names, 15))
    top = limits(*(f'{name}: {{key: "{key.format(name)}", rate: 1/h, burst: 3}}'
                   for name in named))
    return f"""
    api:
      respond: {{body: ok}}
      routes:{routes}
    """, top


def test_a_reload_with_more_warnings_than_an_answer_has_room_for_is_a_reload():
    services, top = many_limits(1)
    with Ringway(says_nothing(), options=()) as ringway:
        ringway._blocks["top"] = top
        ringway.write_config(services)
        done = ringway.admin("reload")
        assert done.returncode == 0 and "generation 2" in done.stdout, done
        assert "too long: run `ringway check`" in done.stderr
        assert ringway.get("/0").status == 200


def says_nothing():
    return "api: {respond: {body: ok}, routes: [{path: /*}]}"


def test_names_that_no_file_has_any_more_make_room_at_a_restart():
    services, top = many_limits(0, key="header:{}")
    with Ringway(services, top=top, options=["--keep-state"]) as ringway:
        def others(generation):
            services, ringway._blocks["top"] = many_limits(generation, key="header:{}")
            ringway.write_config(services)

        assert [ringway.get("/0").status for _ in range(4)] == [200, 200, 200, 429]
        others(1)
        done = ringway.admin("reload")
        assert done.returncode == 1 and "limits than a process can ever have known" in done.stderr
        assert ringway.get("/0").status == 429
        # All of them are new; then one generation comes back, which nobody remembers.
        for generation in (1, 2, 0):
            ringway.stop()
            others(generation)
            ringway.start()
            assert [ringway.get("/0").status for _ in range(4)] == [200, 200, 200, 429]
        # And what stays keeps its state.
        ringway.stop()
        ringway.start()
        assert ringway.get("/0").status == 429


def test_a_reset_key_is_fresh_and_no_other():
    with gateway(shards=2) as ringway:
        assert spend(ringway, "alice") == 20 and spend(ringway, "bob") == 20
        done = ringway.admin("limits", "reset", "per-user", "header:x-user=alice")
        assert done.returncode == 0
        assert done.stdout == "per-user: header:x-user=alice has 20 left, it had 0\n"
        assert ask(ringway, "bob") == 429
        assert spend(ringway, "alice") == 20
        assert admin(ringway, "POST", "/limits/per-user/reset?key=alice")[0] == 200
        assert spend(ringway, "alice") == 20


def test_a_reset_without_a_name_finds_the_limit():
    with gateway(PER_USER, "per-ip: {key: ip, rate: 1/h, burst: 50}",
                 "per-net: {key: ip/24, rate: 1/h, burst: 100}",
                 services=SERVICES.replace("[per-user]", "[per-user, per-ip, per-net]")) as ringway:
        spend(ringway, "alice")
        done = ringway.admin("limits", "reset", "header:x-user=alice")
        assert done.returncode == 0 and done.stdout.startswith("per-user: ")
        assert ask(ringway, "alice") == 200
        done = ringway.admin("limits", "reset", "127.0.0.1")
        assert done.returncode == 1
        assert "`per-ip`, `per-net`" in done.stderr
        done = ringway.admin("limits", "reset", "nonsense")
        assert done.returncode == 1 and "no limit counts by `nonsense`" in done.stderr


# Misuse

@pytest.mark.parametrize("method, path, body, status, words", [
    ("GET", "/limits/per-usr", None, 404, "did you mean `per-user`?"),
    ("GET", "/limits/nothing-like-it", None, 404, "there is no limit"),
    ("GET", "/limitsx", None, 404, "/limits"),
    ("PUT", "/limits/per-user", "rate=1/s", 405, "GET, HEAD, POST, DELETE"),
    ("POST", "/limits", "rate=1/s", 405, "GET, HEAD, DELETE"),
    ("GET", "/limits/per-user/reset?key=a", None, 405, "POST"),
    ("GET", "/limits/per-user?kez=a", None, 400, "`kez`"),
    ("GET", "/limits/per-user?key=", None, 400, "no value"),
    ("GET", "/limits/per-user?key=a&key=b", None, 400, "twice"),
    ("GET", "/limits/per-user?key=%00", None, 400, ""),
    ("GET", "/limits/by-ip?key=alice", None, 422, "written like `ip=192.0.2.1`"),
    ("DELETE", "/limits/per-user", None, 400, "?key="),
    ("DELETE", "/limits", None, 400, "?key="),
    ("DELETE", "/limits/places?key=global", None, 409, "has no rate"),
    ("POST", "/limits/per-user", "", 400, "nothing to set"),
    ("POST", "/limits/per-user", "rate=", 400, "no value"),
    ("POST", "/limits/per-user", "rate=1/s&rate=2/s", 400, "twice"),
    ("POST", "/limits/per-user", "rat=1/s", 400, "there are rate, burst and concurrency"),
    ("POST", "/limits/per-user", "rate=%zz", 400, "no value"),
    ("POST", "/limits/per-user", "rate=fast", 422, "like 100 or 0.5"),
    ("POST", "/limits/per-user", "rate=0", 422, "0.001 to 10000000"),
    ("POST", "/limits/per-user", "rate=0/s", 422, "begins at 1"),
    ("POST", "/limits/per-user", "rate=-1/s", 422, "100/s, 1000/h or 5000/15m"),
    ("POST", "/limits/per-user", "rate=10/500ms", 422, "1s to 366d"),
    ("POST", "/limits/per-user", "rate=10/400d", 422, "1s to 366d"),
    ("POST", "/limits/per-user", "rate=10000001/s", 422, "at most 10000000/s"),
    ("POST", "/limits/per-user", "burst=0", 422, "1 to 1000000"),
    ("POST", "/limits/per-user", "burst=1000001", 422, "1 to 1000000"),
    ("POST", "/limits/per-user", "burst=18446744073709551617", 422, "1 to 1000000"),
    ("POST", "/limits/per-user", "concurrency=5", 422, "no cap on concurrency"),
    ("POST", "/limits/places", "rate=5", 422, "has no rate"),
    ("POST", "/limits/window", "burst=5", 422, "windows"),
    ("POST", "/limits/window", "rate=1000001/h", 422, "at most 1000000"),
    ("POST", "/limits/by-ip", "burst=4", 422, "each costs 5"),
    ("POST", "/limits/per-user", "{", 400, "no JSON"),
    ("POST", "/limits/per-user", "[1]", 400, "`[1]`"),
    ("POST", "/limits/per-user", '{"rate": null}', 400, "no value"),
    ("POST", "/limits/per-user", '{"rate": [1]}', 400, "no value"),
    ("POST", "/limits/per-user", '{"burst": 1.5}', 422, "1 to 1000000"),
    ("POST", "/limits/per-user", '{"burst": 1, "burst": 2}', 400, "no JSON"),
    ("POST", "/limits/per-user", "rate=1/s" + " " * 5000, 413, "4096 bytes"),
])
def test_misuse_is_told_and_changes_nothing(strict, method, path, body, status, words):
    before = admin(strict, "GET", "/limits")[1]
    got, answer = admin(strict, method, path, body)
    assert (got, answer["status"]) == (status, status), answer
    assert words in answer["detail"]
    assert admin(strict, "GET", "/limits")[1] == before


@pytest.fixture(scope="module")
def strict():
    with gateway(PER_USER, "window: {key: ip, rate: 10/h, algorithm: fixed_window}",
                 "places: {key: global, concurrency: 3}",
                 "by-ip: {key: ip, rate: 10/s, burst: 20, cost: 5}",
                 services=SERVICES.replace("[per-user]",
                                           "[per-user, window, places, by-ip]")) as ringway:
        yield ringway


@pytest.mark.parametrize("arguments, code, words", [
    (["lst"], 2, "none of list, show, set and reset"),
    ([], 2, "ACTION is missing"),
    (["list", "x"], 2, "`show` takes a name"),
    (["show"], 2, "takes the name of a limit"),
    (["set", "per-user"], 2, "rate=RATE"),
    (["set", "per-user", "rate"], 2, "rate=RATE"),
    (["set", "per-user", "rate=fast"], 1, "100 or 0.5"),
    (["reset"], 2, "takes the name of a limit and a key"),
    (["show", "per-usr"], 1, "did you mean `per-user`?"),
    (["show", "per user/ä"], 1, "there is no limit `per user/ä`"),
])
def test_the_command_says_what_is_wrong(strict, arguments, code, words):
    done = strict.admin("limits", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def test_keys_of_any_bytes():
    with gateway() as ringway:
        for name in (b"a b", b"100%", b"x+y&z=1", b"na\xc3\xafve", b"\xff\xfe"):
            with ringway.client() as client:
                client.get("/", extra=b"X-User: %s\r\n" % name)
            key = urllib.parse.quote_from_bytes(name, safe="")
            status, answer = admin(ringway, "GET", f"/limits/per-user?key=header:x-user={key}")
            assert status == 200, answer
            assert answer["state"]["remaining"] == 19, name
        done = ringway.admin("limits", "show", "per-user", "x+y&z=1", "--json")
        assert json.loads(done.stdout)["state"]["remaining"] == 19


def test_no_limits_at_all():
    with Ringway("hello: {respond: {body: hi}, routes: [{path: \"/*\"}]}") as ringway:
        assert admin(ringway, "GET", "/limits") == (200, {"limits": []})
        assert ringway.admin("limits", "list").stdout == "no limits\n"


# Over a restart

def state_file(ringway):
    return ringway.folder / "admin.limits"


def restart(ringway):
    ringway.stop()
    ringway.start()


def said_of_state(ringway):
    """Of all starts and ends so far."""
    events = [json.loads(line) for line in ringway.process.stderr.splitlines()
              if line.startswith("{")]
    return [event["message"] for event in events if event["message"].startswith("limits:")]


def test_the_exhausted_stay_so_over_set_reload_and_restart_under_load():
    with kept(shards=2) as ringway, load(ringway):
        assert spend(ringway, "alice") == 20
        assert admin(ringway, "POST", "/limits/per-user", "rate=2/h")[0] == 200
        assert ask(ringway, "alice") == 429
        ringway.config_path.write_text(ringway.config_text().replace("rate: 1/h", "rate: 3/h"))
        assert ringway.admin("reload").returncode == 0
        assert admin(ringway, "GET", "/limits/per-user")[1]["rate"] == "3/h"
        assert ask(ringway, "alice") == 429
        restart(ringway)
        assert any("keys was loaded" in line or "keys were loaded" in line or
                   "the state of" in line for line in said_of_state(ringway))
        assert ask(ringway, "alice") == 429
        # The terms are the new file's, a live change is not carried over.
        assert admin(ringway, "GET", "/limits/per-user")[1]["rate"] == "1/h"
        assert spend(ringway, "carol") == 20


def test_the_state_lies_in_a_file_that_nobody_else_reads_and_is_taken_once():
    with kept() as ringway:
        path = state_file(ringway)
        spend(ringway, "alice")
        assert not path.exists()
        ringway.stop()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [p.name for p in ringway.folder.glob("*.limits*")] == [path.name]
        ringway.start()
        assert not path.exists()
        assert ask(ringway, "alice") == 429
        # Killed: there is no file, and what was used is forgotten.
        ringway.process.kill()
        assert not path.exists()
        ringway.start()
        assert ask(ringway, "alice") == 200


def test_without_the_option_nothing_is_written_or_read():
    with gateway() as ringway:
        spend(ringway, "alice")
        ringway.stop()
        assert not state_file(ringway).exists()
        state_file(ringway).write_bytes(b"precious")
        ringway.start()
        assert ask(ringway, "alice") == 200
        ringway.stop()
        assert state_file(ringway).read_bytes() == b"precious"
        assert said_of_state(ringway) == []


def test_a_drain_that_is_cut_short_keeps_the_state_as_well():
    with kept(drain="300ms") as ringway:
        spend(ringway, "alice")
        with ringway.client() as client:
            client.send(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n")
            time.sleep(0.1)
            ringway.stop()
        assert "the drain limit has come" in ringway.process.stderr
        ringway.start()
        assert ask(ringway, "alice") == 429


def test_limits_that_the_new_file_lacks_go_and_new_terms_count():
    with kept() as ringway:
        spend(ringway, "alice")
        ringway.stop()
        ringway._blocks["top"] = limits("per-user: {key: \"header:X-User\", rate: 1/h, burst: 25}",
                                        "other: {key: ip, rate: 1/h, burst: 500}")
        ringway.write_config(SERVICES.replace("[per-user]", "[per-user, other]"))
        ringway.start()
        answer = admin(ringway, "GET", "/limits/per-user")[1]
        assert (answer["burst"], answer["changed"]) == (25, False)
        assert spend(ringway, "alice") == 5
        ringway.stop()
        ringway._blocks["top"] = ""
        ringway.write_config(SERVICES.replace(", limits: [per-user]", ""))
        ringway.start()
        assert admin(ringway, "GET", "/limits") == (200, {"limits": []})
        assert spend_nothing(ringway)


def spend_nothing(ringway):
    return all(ask(ringway, "alice") == 200 for _ in range(30))


def test_a_start_that_fails_leaves_the_file_for_the_next():
    with kept() as ringway:
        spend(ringway, "alice")
        ringway.stop()
        with socket.create_server(("127.0.0.1", ringway.port)):
            done = command("run", "--keep-state", ringway.config_path, cwd=ringway.folder)
        assert done.returncode == 1
        assert state_file(ringway).exists()
        ringway.start()
        assert ask(ringway, "alice") == 429


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def damage_flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damage_garbage(path):
    path.write_bytes(os.urandom(4096))


def damage_empty(path):
    path.write_bytes(b"")


def damage_endless(path):
    """More than there is memory for; nobody has to read it to see that it is too long."""
    os.truncate(path, 64 << 30)


def damage_old(path):
    past = time.time() - 400 * 86400
    os.utime(path, (past, past))


@pytest.mark.parametrize("damage, words", [
    (damage_cut, "damaged, or another version's"), (damage_flip, "damaged, or another version's"),
    (damage_garbage, "damaged, or another version's"),
    (damage_empty, "damaged, or another version's"), (damage_old, "older than any limit"),
    (damage_endless, "damaged, or another version's"),
])
def test_a_bad_file_is_set_aside(damage, words):
    with kept() as ringway:
        path = state_file(ringway)
        spend(ringway, "alice")
        ringway.stop()
        damage(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        ringway.start()
        said = said_of_state(ringway)
        assert len([line for line in said if "is not loaded, all limits begin fresh" in line]) == 1
        assert any(words in line for line in said), said
        assert not path.exists()
        aside = path.with_name(path.name + ".bad")
        assert aside.exists() and stat.S_IMODE(aside.stat().st_mode) == mode == 0o600
        assert ask(ringway, "alice") == 200


def trust_mode(path):
    path.chmod(0o640)


def trust_owner(path):
    os.chown(path, 65534, 65534)


def trust_link(path):
    real = path.with_name("real")
    path.rename(real)
    path.symlink_to(real)


def trust_second_name(path):
    os.link(path, path.with_name("second"))


def trust_folder(path):
    path.unlink()
    path.mkdir()


def trust_fifo(path):
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("spoil, words", [
    (trust_mode, "its mode is not 0600"), (trust_owner, "another user"),
    (trust_link, "a symbolic link"), (trust_second_name, "a second name"),
    (trust_folder, "no regular file"), (trust_fifo, "no regular file"),
])
def test_a_file_that_is_not_trusted_is_not_read(spoil, words):
    if spoil is trust_owner and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    with kept() as ringway:
        path = state_file(ringway)
        spend(ringway, "alice")
        ringway.stop()
        spoil(path)
        before = path.lstat().st_ino
        ringway.start()
        said = said_of_state(ringway)
        assert any("is not loaded" in line and words in line for line in said), said
        assert path.lstat().st_ino == before
        assert ask(ringway, "alice") == 200
        spend(ringway, "alice")
        ringway.stop()
        if spoil is trust_folder:
            assert "their state is not kept" in ringway.process.stderr
            return
        # What was saved takes its place, and touches nothing else.
        assert stat.S_ISREG(path.lstat().st_mode) and stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert path.lstat().st_uid == os.geteuid()
        ringway.start()
        assert ask(ringway, "alice") == 429


def test_a_folder_that_cannot_be_written_is_told():
    with kept() as ringway:
        # Not even root can do it: the new file's name is taken by a folder with something in it.
        (ringway.folder / "admin.limits.new" / "x").mkdir(parents=True)
        spend(ringway, "alice")
        ringway.stop()
        assert "limits: their state is not kept" in ringway.process.stderr
        assert not state_file(ringway).exists()

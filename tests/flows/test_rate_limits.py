"""Limits as their clients meet them: what is counted together, what is answered, what it costs."""

import concurrent.futures
import json
import math
import pathlib
import re
import subprocess
import time

import pytest

from harness.origin import Origin
from harness.process import BINARY, eventually, patience
from harness.ringway import Quiet, Ringway

TREE = pathlib.Path(__file__).resolve().parents[2]
TRUST = 'trusted: ["127.0.0.1/32"]'


def says(route="{path: /*}"):
    return f"""
    api:
      respond: {{body: ok}}
      routes: [{route}]
    """


def limited(names, limits, services=None, top="", **options):
    """One route with these named limits."""
    listed = "".join(f"  {name}: {terms}\n" for name, terms in limits.items())
    return Ringway(services or says(f"{{path: /*, limits: [{names}]}}"),
                   top=f"{top}\nlimits:\n{listed}", **options)


def ask(gateway, path="/", count=1, **fields):
    """Statuses of so many requests on one connection."""
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    with gateway.client() as client:
        return [client.get(path, extra=extra.encode()).status for _ in range(count)]


def from_ip(gateway, ip, count=1, path="/"):
    return ask(gateway, path, count, x_forwarded_for=ip)


def answer(gateway, path="/", **fields):
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return gateway.get(path, extra=extra.encode())


def values(message, name):
    return [value.decode() for value in message.values(name)]


def value(message, name):
    found = values(message, name)
    assert len(found) == 1, f"{name}: {found}"
    return found[0]


# What is counted together

def test_a_route_counts_all_its_clients_together():
    services = says("{path: /*, rate_limit: {requests_per_second: 1, burst: 3}}")
    with Ringway(services, top=TRUST) as gateway, Quiet(gateway):
        assert from_ip(gateway, "192.0.2.1", 2) == [200, 200]
        assert from_ip(gateway, "192.0.2.2", 3) == [200, 429, 429]


def test_the_default_counts_each_client_address():
    top = TRUST + "\nrate_limit: {default: {requests_per_second: 1, burst: 2}}"
    with Ringway(says(), top=top, shards=2) as gateway, Quiet(gateway):
        for ip in ("192.0.2.1", "192.0.2.2", "2001:db8::1"):
            assert from_ip(gateway, ip, 3) == [200, 200, 429]
        # A client of IPv6 has a whole /64.
        assert from_ip(gateway, "2001:db8::2:3", 1) == [429]
        assert from_ip(gateway, "2001:db8:0:1::1", 1) == [200]


def test_whom_a_trusted_peer_speaks_for_is_counted_and_nobody_else():
    """What a client writes before the address that the trusted peer adds proves nothing."""
    top = ('trusted: ["127.0.0.1/32", "10.0.0.0/8"]\n'
           "rate_limit: {default: {requests_per_second: 1, burst: 1}}")
    with Ringway(says(), top=top) as gateway:
        assert from_ip(gateway, "192.0.2.1") == [200]
        for claimed in ("198.51.100.1, 192.0.2.1", "198.51.100.2, 192.0.2.1, 10.1.1.1",
                        "x, 192.0.2.1", "192.0.2.1"):
            assert from_ip(gateway, claimed) == [429], claimed
        assert from_ip(gateway, "198.51.100.1") == [200]
        # Nothing but trusted ones: the first of them. Nothing that can be read: the peer.
        assert from_ip(gateway, "10.0.0.1, 10.0.0.2") == [200]
        assert from_ip(gateway, "10.0.0.1") == [429]
        assert from_ip(gateway, "nonsense") == [200]
        assert ask(gateway) == [429]
        # Some proxies write ports; elements without a word are no elements.
        for same in ("203.0.113.1", "203.0.113.1:4711", "203.0.113.1,", "203.0.113.1, ,10.1.1.1"):
            assert from_ip(gateway, same) == [200 if same == "203.0.113.1" else 429], same
        assert from_ip(gateway, "[2001:db8::1]:443") == [200]
        assert from_ip(gateway, "2001:db8::1") == [429]
        for no_address in (":443", "unix:/a:1", "203.0.113.9:x"):
            assert from_ip(gateway, no_address) == [429], no_address
        assert from_ip(gateway, "203.0.113.9") == [200], "what is no address was counted as one"
    with Ringway(says(), top=top.replace("127.0.0.1/32", "127.0.0.9/32")) as gateway:
        assert from_ip(gateway, "192.0.2.1") == [200]
        assert from_ip(gateway, "192.0.2.2") == [429], "an untrusted peer was believed"


KEYS = {
    "ip": ({}, {"x_forwarded_for": "192.0.2.2"}),
    "ip/24": ({"x_forwarded_for": "192.0.2.1"}, {"x_forwarded_for": "192.0.3.1"}),
    '"header:X-User"': ({"x_user": "a"}, {"x_user": "b"}),
    '[ip, "header:x-user"]': ({"x_forwarded_for": "192.0.2.1", "x_user": "a"},
                              {"x_forwarded_for": "192.0.2.1", "x_user": "b"}),
}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_counted_for_itself(key):
    one, other = KEYS[key]
    limits = {"named": f"{{key: {key}, requests_per_second: 1, burst: 2}}"}
    with limited("named", limits, top=TRUST) as gateway:
        assert ask(gateway, count=3, **one) == [200, 200, 429]
        assert ask(gateway, count=3, **other) == [200, 200, 429]


def test_an_address_range_is_one_client():
    with limited("net", {"net": "{key: ip/24, requests_per_second: 1, burst: 2}"},
                 top=TRUST) as gateway:
        assert [from_ip(gateway, f"192.0.2.{n}") for n in range(3)] == [[200], [200], [429]]


def test_route_service_and_global_reach_as_far_as_they_say():
    services = """
    one:
      respond: {body: ok}
      routes:
        - {name: a, path: /a, limits: [r]}
        - {name: b, path: /b, limits: [r]}
        - {name: c, path: /c, limits: [s]}
        - {name: d, path: /d, limits: [s]}
        - {name: e, path: /e, limits: [g]}
    two:
      respond: {body: ok}
      routes:
        - {name: f, path: /f, limits: [s]}
        - {name: h, path: /h, limits: [g]}
    """
    limits = {name: f"{{key: {key}, requests_per_second: 1, burst: 1}}"
              for name, key in (("r", "route"), ("s", "service"), ("g", "global"))}
    with limited("", limits, services) as gateway:
        statuses = [ask(gateway, path)[0] for path in ("/a", "/a", "/b", "/c", "/d", "/f", "/e",
                                                       "/h")]
    assert statuses == [200, 429, 200, 200, 429, 200, 200, 429]


def test_a_header_that_is_missing_is_one_client():
    with limited("u", {"u": '{key: "header:X-User", requests_per_second: 1, burst: 1}'}) as gateway:
        assert ask(gateway, count=2) == [200, 429]
        assert ask(gateway, x_user="a") == [200]


# Algorithms

def test_a_bucket_refills_at_its_rate():
    with limited("b", {"b": "{key: ip, requests_per_second: 10, burst: 5}"}) as gateway:
        assert ask(gateway, count=6) == [200] * 5 + [429]
        time.sleep(0.25)
        assert ask(gateway, count=4)[:2] == [200, 200]


def test_a_sliding_window_never_holds_more():
    with limited("w", {"w": "{key: ip, rate: 10/s, algorithm: sliding_window}"}) as gateway:
        admitted = []
        until = time.monotonic() + 3.5
        with gateway.client() as client:
            while time.monotonic() < until:
                before = time.monotonic()
                if client.get("/").status == 200:
                    admitted.append((before, time.monotonic()))
                time.sleep(0.002)
    assert len(admitted) > 20
    for i in range(len(admitted) - 10):
        # Decided after the first was sent, and before the last was answered.
        assert admitted[i + 10][1] - admitted[i][0] >= 0.999, "11 within a second"


def test_a_fixed_window_begins_with_the_clock():
    with limited("f", {"f": "{key: ip, rate: 5/s, algorithm: fixed_window}"}) as gateway:
        by_second = {}
        until = time.time() + 3.2
        with gateway.client() as client:
            while time.time() < until:
                before = int(time.time())
                status = client.get("/").status
                if status == 200 and int(time.time()) == before:
                    by_second[before] = by_second.get(before, 0) + 1
                time.sleep(0.01)
    assert all(count <= 5 for count in by_second.values()), by_second
    whole = sorted(by_second)[1:-1]
    assert whole and all(by_second[second] >= 4 for second in whole), by_second


def test_a_request_may_cost_more_than_one():
    services = says("{path: /*, limits: [dear]}")
    with limited("", {"dear": "{key: ip, requests_per_second: 1, burst: 10, cost: 4}"},
                 services) as gateway:
        assert ask(gateway, count=3) == [200, 200, 429]


def test_so_many_at_the_same_time_and_no_more():
    def slow(conn):
        conn.request()
        time.sleep(1.0)
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with Origin(slow) as origin:
        services = f"""
        api:
          url: "{origin.url}"
          routes: [{{path: /client, limits: [per-ip]}}, {{path: /all, limits: [all]}}]
        """
        limits = {"per-ip": "{key: ip, concurrency: 3}", "all": "{key: global, concurrency: 2}"}
        with limited("", limits, services, shards=2) as gateway, Quiet(gateway):
            for path, places, refused in (("/client", 3, 429), ("/all", 2, 503)):
                with concurrent.futures.ThreadPoolExecutor(8) as pool:
                    answers = list(pool.map(lambda _: gateway.get(path), range(8)))
                statuses = sorted(a.status for a in answers)
                assert statuses == [200] * places + [refused] * (8 - places), path
                assert all(value(a, "Retry-After") == "1" for a in answers if a.status != 200)
                # All places are free again, also when a client goes away in the middle.
                for _ in range(places + 1):
                    client = gateway.client()
                    client.send(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
                    time.sleep(0.05)
                    client.reset()
                gateway.record(path=path, cause="client_closed")
                time.sleep(0.2)
                assert gateway.get(path).status == 200


# Several limits

def test_several_limits_are_all_or_nothing():
    """What the wide limit refuses has cost the narrow one nothing."""
    limits = {"narrow": "{key: ip, rate: 1/h, burst: 5}",
              "wide": "{key: global, requests_per_second: 10, burst: 2}"}
    services = """
    api:
      respond: {body: ok}
      routes: [{path: /both, limits: [wide, narrow]}, {path: /narrow, limits: [narrow]}]
    """
    with limited("", limits, services) as gateway:
        assert ask(gateway, "/both", 20).count(200) in (2, 3)
        answer_ = answer(gateway, "/both")
        assert (answer_.status, json.loads(answer_.body)["violated-policies"]) == (429, ["wide"])
        assert ask(gateway, "/narrow", 4).count(200) in (2, 3)


# Answers

def test_a_refusal_says_which_limit_and_when_again():
    with limited("slow", {"slow": "{key: ip, rate: 6/m, burst: 1}"}) as gateway:
        assert ask(gateway) == [200]
        time.sleep(0.1)
        refusal = answer(gateway)
        assert refusal.status == 429
        # 10 s less what has passed, rounded up.
        assert value(refusal, "Retry-After") == "10"
        assert value(refusal, "Content-Type") == "application/problem+json"
        assert value(refusal, "RateLimit-Policy") == '"slow";q=6;w=60;burst=1'
        assert value(refusal, "RateLimit") == '"slow";r=0;t=10'
        problem = json.loads(refusal.body)
        assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
        assert problem["violated-policies"] == ["slow"]
        assert problem["status"] == 429 and problem["request_id"]
        record = gateway.record(status=429)
        assert (record["cause"], record["limit"]) == ("rate_limited", "slow")


FIELDS = ("RateLimit-Policy", "RateLimit", "X-RateLimit-Limit", "X-RateLimit-Remaining",
          "X-RateLimit-Reset")


@pytest.mark.parametrize("headers, there", [
    ("ietf", FIELDS[:2]), ("x-ratelimit", FIELDS[2:]), ("both", FIELDS), ("off", ()),
    (None, FIELDS[:2])])
@pytest.mark.parametrize("source", ["respond", "redirect", "upstream"])
def test_answers_tell_how_much_is_left(headers, there, source):
    said = f", headers: {headers}" if headers else ""

    def script(conn):
        while conn.request():
            conn.send(b"HTTP/1.1 200 OK\r\nratelimit: \"theirs\";r=1\r\nX-RateLimit-Limit: 7\r\n"
                      b"Content-Length: 0\r\n\r\n")

    with Origin(script) as origin:
        how = {"respond": "respond: {body: ok}", "redirect": 'redirect: {to: "http://a/"}',
               "upstream": f'url: "{origin.url}"'}[source]
        services = f"""
        api:
          {how}
          routes: [{{path: /*, limits: [l]}}]
        """
        limits = {"l": f"{{key: ip, requests_per_second: 100, burst: 200{said}}}"}
        with limited("", limits, services) as gateway:
            first = answer(gateway)
            second = answer(gateway)
    sent = {name: values(first, name) for name in FIELDS}
    if source == "upstream":
        # What the upstream says of itself goes on unless we have a say of our own.
        theirs = {"RateLimit": ['"theirs";r=1'], "X-RateLimit-Limit": ["7"]}
        for name in theirs.keys() - set(there):
            assert sent.pop(name) == theirs[name]
    assert {name for name, found in sent.items() if found} == set(there)
    assert all(len(found) == 1 for found in sent.values() if found)
    if "RateLimit" in there:
        assert value(first, "RateLimit-Policy") == '"l";q=100;w=1;burst=200'
        assert re.fullmatch(r'"l";r=199;t=1', value(first, "RateLimit"))
        assert re.fullmatch(r'"l";r=19[89];t=1', value(second, "RateLimit"))
    if "X-RateLimit-Limit" in there:
        assert value(first, "X-RateLimit-Limit") == "200"
        assert value(first, "X-RateLimit-Remaining") == "199"
        assert value(first, "X-RateLimit-Reset") == "1"


def test_a_refusal_tells_what_the_others_have_got_back():
    limits = {"own": "{key: ip, rate: 1/h, burst: 10, cost: 2}",
              "win": "{key: route, rate: 10/h, algorithm: sliding_window}",
              "all": "{key: global, rate: 1/h, burst: 2}"}
    with limited("own, win, all", limits) as gateway:
        assert ask(gateway, count=2) == [200, 200]
        for _ in range(3):
            refusal = answer(gateway)
            assert refusal.status == 429
            left = dict(re.findall(r'"(\w+)";r=(\d+)', value(refusal, "RateLimit")))
            assert left == {"own": "6", "win": "8", "all": "0"}
            assert 4 * 3600 - 5 <= int(re.search(r'"own";r=6;t=(\d+)',
                                                 value(refusal, "RateLimit"))[1]) <= 4 * 3600 + 1
    # A cap that refuses gives its own rate back.
    with limited("both", {"both": "{key: global, rate: 1/h, burst: 9, concurrency: 1}"},
                 says("{path: /*, limits: [both], delay: 60s}")) as gateway:
        with gateway.client() as busy:
            busy.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            assert eventually(lambda: gateway.gauges()["exchanges"])
            refusal = answer(gateway)
            assert refusal.status == 503
            assert value(refusal, "RateLimit").startswith('"both";r=8;')
            busy.reset()


def test_each_limit_tells_for_itself():
    limits = {"a": "{key: ip, rate: 10/m, burst: 10, headers: both}",
              "b": "{key: global, rate: 100/m, algorithm: sliding_window, headers: both}",
              "c": "{key: route, rate: 1000/h, algorithm: fixed_window, headers: off}",
              "d": "{key: service, concurrency: 7}"}
    with limited("a, b, c, d", limits) as gateway:
        said = answer(gateway)
    policies = value(said, "RateLimit-Policy").split(", ")
    assert policies == ['"a";q=10;w=60', '"b";q=100;w=60']
    assert [p.split(";")[0] for p in policies] == \
        [p.split(";")[0] for p in value(said, "RateLimit").split(", ")]
    # One number each: of the limit that is nearest to its end.
    assert value(said, "X-RateLimit-Remaining") == "9"


def test_the_page_about_limits_shows_a_good_configuration(tmp_path):
    page = (TREE / "docs" / "limits.md").read_text()
    shown = re.search(r"```yaml\n(.*?)```", page, re.S)[1]
    file = tmp_path / "gateway.yaml"
    file.write_text("version: 1\ngateway: {port: 8080}\n" + shown)
    done = subprocess.run([BINARY, "check", "--strict", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# Full tables

@pytest.mark.parametrize("on_full, expected", [("open", {200}), ("closed", {200, 503}),
                                               ("coarse", {200, 429})])
def test_a_full_table_does_as_it_is_told(on_full, expected):
    limits = {"u": f'{{key: "header:X-User", rate: 1/h, burst: 2, on_full: {on_full}}}'}
    with limited("u", limits, runtime="limit_keys: 1024") as gateway, Quiet(gateway):
        assert ask(gateway, x_user="honest") == [200]
        statuses = []
        with gateway.client() as client:
            for n in range(3000):
                statuses.append(client.get("/", extra=b"X-User: %d\r\n" % n).status)
        assert set(statuses) == expected
        assert statuses[:500] == [200] * 500
        # Who was there before goes on being counted right.
        assert ask(gateway, count=2, x_user="honest") == [200, 429]
        if on_full == "closed":
            assert gateway.record(status=503)["cause"] == "limit_table_full"


# Exactness, and state that outlives a reload

def test_a_reload_keeps_every_bucket():
    limits = {"u": '{key: "header:X-User", rate: 1/h, burst: 3}'}
    with limited("u", limits, shards=2) as gateway:
        for n in range(20):
            assert ask(gateway, count=4, x_user=n) == [200] * 3 + [429]
        assert gateway.admin("reload").returncode == 0
        for n in range(20):
            assert ask(gateway, x_user=n) == [429]
        assert ask(gateway, x_user="new") == [200]


def wrk(gateway, seconds, connections, threads=2):
    done = subprocess.run(["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s",
                           f"http://127.0.0.1:{gateway.port}/"], capture_output=True, text=True,
                          timeout=seconds + 60)
    total = int(re.search(r"(\d+) requests in", done.stdout)[1])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    errors = re.search(r"Socket errors: .*", done.stdout)
    assert not errors, done.stdout
    return total, total - int(refused[1] if refused else 0)


@pytest.mark.parametrize("rate, burst", [(1000, 1000), (200, 50), (4000, 8000)])
def test_two_shards_admit_the_limit_and_not_one_more(rate, burst, full):
    """Driven well above the rate from both shards: within [0.98, 1.0] of burst + rate * time,
    the time as long as anything was on the way."""
    seconds = 30 if full else 4
    # A slow build must still be offered several times the rate.
    rate, burst = int(rate / patience(1)), int(burst / patience(1))
    limits = {"all": f"{{key: global, requests_per_second: {rate}, burst: {burst}, "
                     "headers: off}"}
    with limited("all", limits, shards=2, logging="access: off") as gateway:
        began = time.monotonic()
        total, admitted = wrk(gateway, seconds, 64)
        longest = time.monotonic() - began
        times = 10 if full else 3
        assert total > times * (burst + rate * seconds), f"only {total} offered"
        assert admitted <= burst + rate * longest
        assert admitted >= 0.98 * (burst + rate * seconds)


def test_two_hundred_clients_of_one_key(full):
    """Each with a connection of its own, so that both shards have many of them."""
    rate = burst = int(500 / patience(1))
    seconds = 30 if full else 4
    limits = {"all": f"{{key: global, requests_per_second: {rate}, burst: {burst}}}"}
    with limited("all", limits, shards=2, logging="access: off") as gateway:
        began = time.monotonic()
        total, admitted = wrk(gateway, seconds, 200)
        longest = time.monotonic() - began
        busy = [shard["requests"] for shard in gateway.status()["shards"]]
    assert min(busy) > total / 10, f"one shard did nearly all: {busy}"
    assert total > (10 if full else 3) * (burst + rate * seconds), f"only {total} offered"
    assert admitted <= math.floor(burst + rate * longest)
    assert admitted >= 0.98 * (burst + rate * seconds)

"""Which route a request takes, where its answer comes from, and what a route adds to it."""

import json
import re
import time

import pytest

from harness.origin import Origin
from harness.process import eventually, free_port
from harness.ringway import Quiet, Ringway


def fixed(name, *routes):
    lines = "".join(f"    - {route}\n" for route in routes)
    return f"{name}:\n  respond: {{body: {name}}}\n  routes:\n{lines}"


ROUTES = "".join([
    fixed("anywhere", "{path: /*}", "{path: /exact}", "{path: /only, methods: [GET, POST]}",
          "{path: /deep/*, methods: [PUT]}"),
    fixed("exact", "{path: /exact/path}"),
    fixed("prefix", "{path: /exact/*}", "{path: /a/b/*}"),
    fixed("longer", "{path: /a/b/c/*}"),
    fixed("deep", "{path: /deep/er/*, methods: [GET]}"),
    fixed("named", '{host: ["api.test", "[::1]"], path: /*}'),
    fixed("below", '{host: "*.api.test", path: /*}'),
    fixed("further", '{host: "*.b.api.test", path: /*}'),
])


@pytest.fixture(scope="module")
def router():
    with Ringway(ROUTES) as gateway:
        yield gateway


@pytest.mark.parametrize("host, path, service", [
    ("a.test", "/", "anywhere"),
    ("a.test", "/nothing/like/it", "anywhere"),
    # An exact path, then the longest prefix, which ends at a slash.
    ("a.test", "/exact/path", "exact"),
    ("a.test", "/exact/path/", "prefix"),
    ("a.test", "/exact/paths", "prefix"),
    ("a.test", "/exact", "anywhere"),       # its own exact route, in another service
    ("a.test", "/exacts", "anywhere"),
    ("a.test", "/a/b", "prefix"),
    ("a.test", "/a/bc", "anywhere"),
    ("a.test", "/a/b/c", "longer"),
    ("a.test", "/a/b/cd", "prefix"),
    ("a.test", "/a/b/c/d/e?q=/x", "longer"),
    # The normal form decides.
    ("a.test", "/a/x/../b/%63", "longer"),
    ("a.test", "/a/b%2Fc", "anywhere"),     # an encoded slash is no slash
    # Hosts: exact, then the longest suffix, whatever the case and the port.
    ("api.test", "/exact/path", "named"),
    ("API.Test:8080", "/", "named"),
    ("[::1]:8080", "/", "named"),
    ("x.api.test", "/", "below"),
    ("y.x.api.test", "/", "below"),
    ("x.b.api.test", "/", "further"),
    ("b.api.test", "/", "below"),
    ("xapi.test", "/", "anywhere"),
])
def test_the_most_specific_route_wins(router, host, path, service):
    response = router.get(path, host=host)
    assert (response.status, response.body) == (200, service.encode())


def test_other_methods_are_405_with_what_is_allowed(router):
    with router.client() as client:
        client.send(b"DELETE /only HTTP/1.1\r\nHost: api.test.\r\n\r\n")
        assert client.response().status == 200      # api.test takes every method
        client.send(b"PATCH /only HTTP/1.1\r\nHost: a.test\r\n\r\n")
        # /only does not take it, but /* does.
        assert client.response().body == b"anywhere"
    narrow = fixed("narrow", "{path: /only, methods: [GET, POST]}")
    with Ringway(narrow) as gateway, gateway.client() as client:
        client.send(b"DELETE /only HTTP/1.1\r\nHost: a.test\r\n\r\n")
        response = client.response()
        assert (response.status, response.value("Allow")) == (405, b"GET, HEAD, POST")
        client.send(b"HEAD /only HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert client.response("HEAD").status == 200
        assert client.get("/other").status == 404
        assert gateway.record(status=405)["cause"] == "method_not_allowed"
        assert gateway.record(status=404)["cause"] == "no_route"


def test_targets_take_turns():
    origins = [Origin() for _ in range(3)]
    targets = ", ".join(f'{{url: "{origin.url}"}}' for origin in origins)
    try:
        with Ringway(f"all: {{targets: [{targets}], routes: [{{path: /*}}]}}") as gateway:
            for _ in range(30):
                assert gateway.get("/").status == 200
        assert [len(origin.requests) for origin in origins] == [10, 10, 10]
    finally:
        for origin in origins:
            origin.stop()


def test_a_fixed_answer():
    service = """
        hello:
          respond: {status: 418, body: "short\\n", headers: {Content-Type: text/plain, X-A: "1"}}
          routes: [{path: /hello}]
        """
    with Ringway(service) as gateway, gateway.client() as client:
        response = client.get("/hello")
        assert (response.status, response.body) == (418, b"short\n")
        assert (response.value("Content-Type"), response.value("X-A")) == (b"text/plain", b"1")
        assert client.get("/hello").status == 418, "the connection was to go on"


@pytest.mark.parametrize("to, path, location", [
    ("https://new.test{path}", "/old/a%20b?q=1", "https://new.test/old/a%20b"),
    ("https://new.test{path}?{query}", "/old/x?q=1&r", "https://new.test/old/x?q=1&r"),
    ("{scheme}://{authority}/{method}/{route}", "/old/x", "http://a.test:81/GET/gone"),
    ("/to/{host}/{client}/{header:x-a}/{cookie:b}", "/old/x",
     "/to/a.test/127.0.0.1/one/two"),
    ("/to/{{x}}", "/old/x", "/to/{x}"),
])
def test_a_redirect_is_made_of_attributes(to, path, location):
    service = f"""
        old:
          redirect: {{to: "{to}", status: 308}}
          routes: [{{name: gone, path: /old/*}}]
        """
    with Ringway(service) as gateway:
        response = gateway.get(path, host="a.test:81",
                               extra=b"X-A: one\r\nCookie: a=1; b=two\r\n")
        assert (response.status, response.value("Location")) == (308, location.encode())


def test_a_policy_waits_without_holding_up_others():
    service = """
        slow: {respond: {body: slow}, routes: [{path: /slow, delay: 600ms}]}
        fast: {respond: {body: fast}, routes: [{path: /fast}]}
        """
    with Ringway(service) as gateway, Quiet(gateway), gateway.client() as slow:
        began = time.monotonic()
        slow.send(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert gateway.get("/fast").body == b"fast"
        assert time.monotonic() - began < 0.5, "it waited for the other one"
        assert slow.response().body == b"slow"
        assert time.monotonic() - began >= 0.6
        record = gateway.record(path="/slow")
        assert record["policy_us"] >= 600_000


def test_a_client_that_vanishes_ends_the_wait_of_a_policy():
    service = "slow: {respond: {body: slow}, routes: [{path: /slow, delay: 1h, timeout: 0}]}"
    with Ringway(service) as gateway, Quiet(gateway):
        with gateway.client() as client:
            client.send(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n")
            assert eventually(lambda: gateway.gauges()["exchanges"] == 1)
            client.reset()
        assert gateway.record(path="/slow")["cause"] == "client_closed"


def test_a_body_that_is_held_goes_to_the_next_target_when_a_connect_fails():
    body = bytes(range(256)) * 200
    with Origin() as origin:
        service = f"""
            all:
              targets: [{{url: "http://127.0.0.1:{free_port()}"}}, {{url: "{origin.url}"}}]
              retry: {{attempts: 1, on: [connect-failure], buffer: 64KiB}}
              routes: [{{path: /*}}]
            """
        with Ringway(service) as gateway, Quiet(gateway):
            for number in range(6):
                with gateway.client() as client:
                    client.send(b"POST /%d HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n"
                                % (number, len(body)) + body)
                    assert client.response().status == 200
            assert [request.body for request in origin.requests] == [body] * 6
            assert {record["attempts"] for record in gateway.records()} <= {1, 2}
            assert eventually(lambda: any(r["attempts"] == 2 for r in gateway.records()))


def test_without_retry_a_connect_failure_is_told():
    service = f'all: {{url: "http://127.0.0.1:{free_port()}", routes: [{{path: /*}}]}}'
    with Ringway(service) as gateway:
        assert gateway.get("/").status == 502
        assert gateway.record(status=502)["cause"] == "upstream_connect_refused"


def test_names_are_resolved():
    with Origin() as origin:
        service = f'all: {{url: "http://localhost:{origin.port}", routes: [{{path: /*}}]}}'
        with Ringway(service) as gateway:
            assert gateway.get("/").status == 200


def test_forwarded_is_sent_on_demand():
    with Origin() as origin:
        service = f'all: {{url: "{origin.url}", routes: [{{path: /*}}]}}'
        with Ringway(service, gateway="forwarded: true") as gateway:
            assert gateway.get("/", host="a.test:81").status == 200
        assert b'\r\nForwarded: for=127.0.0.1;proto=http;host="a.test:81"\r\n' \
            in origin.requests[0].head


def test_the_log_takes_attributes_as_fields():
    service = "all: {respond: {body: x}, routes: [{name: one, path: /*}]}"
    fields = 'fields: {agent: "{header:user-agent}", where: "{route} of {service}"}'
    with Ringway(service, logging=fields) as gateway:
        gateway.get("/x", extra=b'User-Agent: "quoted"\r\n')
        assert gateway.record(path="/x")["fields"] == {"agent": '"quoted"',
                                                       "where": "one of all"}


def test_the_log_as_text_and_no_log():
    service = "all: {respond: {body: x}, routes: [{path: /*}]}"
    with Ringway(service, log_format="text") as gateway:
        gateway.get("/x")
        assert eventually(lambda: "GET /x" in gateway.log_path.read_text())
        line = gateway.log_path.read_text().splitlines()[0]
        with pytest.raises(json.JSONDecodeError):
            json.loads(line)
        assert re.search(r"\b200\b", line)
    with Ringway(service, logging="access: off") as gateway:
        gateway.get("/x")
        time.sleep(0.3)
        assert not gateway.log_path.exists() or gateway.log_path.read_text() == ""

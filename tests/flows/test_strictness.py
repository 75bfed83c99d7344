"""What is refused, and what exactly is passed on: the tables of strict_requests.py and
strict_responses.py, each row on a connection of its own.

After every row a plain request goes through. The origin must have seen what the row says, then
that request, and nothing in between: a smuggled request would show there."""

import json
import re
import time

import pytest

import strict_requests
import strict_responses
from harness import wire
from harness.origin import OK, Origin, by_path
from harness.process import eventually
from harness.ringway import Ringway

REQUEST_ID = re.compile(rb"(?<=\r\nX-Request-Id: )[0-9a-f]{32}(?=\r\n)")
SENTINEL = "/sentinel"

# One shard, so that the order in which the origin sees requests is the order of the tests.
# It serves every path and method, and has the limits that are the default.
SERVICE = """
    all:
      url: "{origin}"
      routes: [{{path: /*}}]
    """


def one_of_ours(head):
    """The head with the request id that Ringway made put back to a placeholder."""
    return REQUEST_ID.sub(b"{id}", head)


def check_problem(response, status):
    """Our own answers are problem+json (RFC 9457) with the request id in them."""
    assert response is not None, "closed without an answer"
    assert response.status in status, response.head
    assert response.value("Content-Type") == b"application/problem+json"
    problem = json.loads(response.body)
    assert set(problem) >= {"type", "title", "status", "detail", "request_id"}
    assert problem["status"] == response.status
    return problem


# Requests

@pytest.fixture(scope="module")
def requests_origin():
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def gateways(requests_origin):
    """One that trusts nobody, and one that trusts this machine."""
    service = SERVICE.format(origin=requests_origin.url)
    with Ringway(service) as plain, Ringway(service, top='trusted: ["127.0.0.0/8"]') as trusting:
        yield {False: plain, True: trusting}


def check_sent(requests, sent):
    assert len(requests) == len(sent), [request.head for request in requests]
    for request, expected in zip(requests, sent):
        assert one_of_ours(request.head) == expected.head
        assert request.body == expected.body
        assert request.trailers == expected.trailers


def expect_refused(client, gateway, status):
    response = client.response()
    problem = check_problem(response, status)
    assert response.values("Connection") == [b"close"]
    assert client.ends(), "the connection goes on behind an error of framing"
    if response.status == 400:
        gateway.record(id=problem["request_id"], status=400, cause="client_bad_request")


@pytest.mark.parametrize("pieces", ["whole", "bytewise"])
@pytest.mark.parametrize("row", strict_requests.ROWS, ids=lambda row: row.name)
def test_request(row, pieces, requests_origin, gateways):
    origin, gateway, verdict = requests_origin, gateways[row.trusted], row.verdict
    before = len(origin.requests)
    partial_before = sum(conn.partial for conn in origin.conns)
    with gateway.client() as client:
        if pieces == "whole":
            client.send(row.raw)
        else:
            client.send_pieces(row.raw, 1 if len(row.raw) < 1000 else 499)

        seen = ()
        sentinels = 1
        if verdict.kind in ("refused", "cut"):
            expect_refused(client, gateway, verdict.status)
        elif verdict.kind == "answered":
            response = client.response()
            assert response is not None and response.status in verdict.status, response
            assert client.get(SENTINEL).status == 200, "the connection was to go on"
            sentinels = 2
        elif verdict.kind == "refused-any":
            # The body, if any, may or may not still come: either end is right.
            check_problem(client.response(), verdict.status)
        elif verdict.kind == "then-refused":
            assert client.response().status == 200
            expect_refused(client, gateway, verdict.status)
            seen = verdict.sent
        elif verdict.kind == "either":
            response = client.response()
            if response.status == 200:
                seen = verdict.sent
            else:
                check_problem(response, verdict.status)
                assert client.ends()
        else:
            seen = verdict.sent
            for _ in seen:
                response = client.response()
                assert response is not None and response.status == 200, response
                assert response.body == b"ok"
            if verdict.closes:
                assert client.ends(), "the connection was to close"
            else:
                assert client.get(SENTINEL).status == 200, "the connection was to go on"
                sentinels = 2
    assert gateway.get(SENTINEL).status == 200

    requests = origin.requests[before:]
    assert [r.target for r in requests[len(seen):]] == [SENTINEL.encode()] * sentinels
    check_sent(requests[:len(seen)], seen)
    if verdict.kind == "refused":
        assert sum(conn.partial for conn in origin.conns) == partial_before, \
            "the beginning of a refused request went to the origin"
    # Half a request on a connection that lives would be continued by the next one.
    assert eventually(lambda: not any(conn.partial for conn in origin.conns
                                      if not conn.ended.is_set()))
    origin.check()


# Responses

@pytest.fixture(scope="module")
def answering():
    """An origin that answers /row/N with row N, and the gateway before it."""
    def play(conn, request):
        path = request.target.decode()
        if not path.startswith("/row/"):
            conn.send(OK)
            return True
        row = strict_responses.ROWS[int(path.rsplit("/", 1)[1])]
        conn.send(row.raw)
        if row.then == "talks":
            time.sleep(0.05)
            conn.send(OK)
        return row.then != "closes"

    with Origin(by_path({}, otherwise=play)) as origin:
        with Ringway(SERVICE.format(origin=origin.url)) as gateway:
            yield origin, gateway


def without_ours(head, verdict):
    """Takes Connection and a Date of Ringway's own out of a head, after a look at them."""
    response = wire.Response(head)
    closing = [value.lower() for value in response.values("Connection")]
    assert closing == ([b"close"] if verdict.closes else [])
    head = re.sub(rb"\r\nConnection: [^\r]*", b"", head)
    if not verdict.dated:
        assert len(response.values("Date")) == 1
        head = re.sub(rb"\r\nDate: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT", b"", head)
    return head


def without_via(head):
    """Whether an interim answer names the proxy is nobody's business here."""
    return head.replace(b"Via: 1.1 ringway\r\n", b"")


def expect_torn(client, verdict):
    """The head and what came of the body; then an end that cannot be taken for the body's.
    When the fault is seen before the head went out, a 502 is the better answer."""
    head = client.response_head()
    if head.status == 502:
        return
    assert without_ours(head.head, verdict) == verdict.head
    rest = client.rest()
    if head.values("Transfer-Encoding"):
        assert not rest.endswith(b"0\r\n\r\n"), "a broken body ends as if it were whole"
        rest = re.sub(rb"[0-9a-f]+\r\n(ok)(\r\n)?", rb"\1", rest)
    assert verdict.body.startswith(rest)


@pytest.mark.parametrize("number", range(len(strict_responses.ROWS)),
                         ids=[row.name for row in strict_responses.ROWS])
def test_response(number, answering):
    origin, gateway = answering
    row = strict_responses.ROWS[number]
    verdict = row.verdict
    path = f"/row/{number}"
    method = row.request.split(b" ")[0].decode()
    with gateway.client() as client:
        client.send(row.request % path.encode())
        if verdict.kind == "torn":
            expect_torn(client, verdict)
        else:
            response = client.response(method)
            assert response is not None, "closed without an answer"
            if verdict.kind.startswith("passed"):
                assert without_ours(response.head, verdict) == verdict.head
                assert response.body == verdict.body
                assert tuple(map(without_via, response.interim)) == verdict.interim
            if verdict.kind == "passed":
                assert response.trailers == verdict.trailers
            if verdict.kind == "passed-trailers":
                assert verdict.trailers in response.trailers
                forbidden = re.findall(rb"(?i)^(content-|transfer-)", response.trailers, re.M)
                assert forbidden == []
            if verdict.kind.startswith("bad"):
                check_problem(response, (502,))
            if verdict.kind == "bad":
                assert response.interim == []
            if verdict.kind == "bad-after-interim":
                assert len(response.interim) <= 10
            if verdict.closes:
                assert client.ends()
            elif verdict.kind == "passed" and row.then != "talks":
                assert client.get(SENTINEL).status == 200, "the client's connection was to go on"
    if verdict.cause:
        gateway.record(path=path, cause=verdict.cause)

    if row.then == "talks":
        time.sleep(0.15)
    mark = len(origin.requests)
    answer = gateway.get(SENTINEL)
    assert (answer.status, answer.body) == (200, b"ok")
    conn_of_row = next(r.conn for r in reversed(origin.requests) if r.target == path.encode())
    reused = origin.requests[mark].conn == conn_of_row
    assert reused == verdict.reused
    origin.check()

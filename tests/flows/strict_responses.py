"""Raw responses of an origin and what RFC 9110 and 9112 make of them. For test_strictness.py.

A verdict is one of
  passed(...)    the client gets exactly this; `reused` says whether the upstream connection may
                 carry another request afterwards
  bad(cause)     the client gets our own 502, the log the cause; never reused
  torn(...)      the client gets this beginning, then the end of its connection; never reused
"""

from dataclasses import dataclass

DATE = b"Date: Mon, 01 Jan 2024 00:00:00 GMT"
GET = b"GET %s HTTP/1.1\r\nHost: a.test\r\n\r\n"
HEAD = b"HEAD %s HTTP/1.1\r\nHost: a.test\r\n\r\n"
GET10 = b"GET %s HTTP/1.0\r\nHost: a.test\r\n\r\n"


@dataclass(frozen=True)
class Verdict:
    kind: str                 # passed | bad | torn
    head: bytes = b""
    body: bytes = b""
    trailers: bytes = b""
    interim: tuple = ()
    reused: bool = True
    closes: bool = False      # the client's connection ends with this answer
    dated: bool = True        # the origin sent a Date; else Ringway adds one
    cause: str = ""


@dataclass(frozen=True)
class Row:
    name: str
    raw: bytes
    rfc: str
    verdict: Verdict
    then: str = "stays"       # what the origin does afterwards: stays | closes | talks
    request: bytes = GET


def passed(line, *fields, framing=None, via=b"1.1", **rest):
    """The head as the client must see it: fields in their order, Via, framing."""
    lines = [b"HTTP/1.1 " + line, *fields, b"Via: " + via + b" ringway"]
    if framing is not None:
        lines.append(framing)
    return Verdict("passed", b"\r\n".join(lines) + b"\r\n\r\n", **rest)


def ok(*fields, body=b"ok", **rest):
    return passed(b"200 OK", DATE, *fields, framing=b"Content-Length: %d" % len(body), body=body,
                  **rest)


def ok_chunked(*fields, body=b"ok", **rest):
    return passed(b"200 OK", DATE, *fields, framing=b"Transfer-Encoding: chunked", body=body,
                  **rest)


def bad(cause="upstream_bad_response", **rest):
    return Verdict("bad", reused=False, cause=cause, **rest)


def torn(head, body, cause):
    return Verdict("torn", head.head, body, reused=False, cause=cause)


def answer(*fields, line=b"HTTP/1.1 200 OK", body=b"ok"):
    """An origin's answer with a Date, then `fields`; lines end in CRLF."""
    return b"".join(part + b"\r\n" for part in (line, DATE, *fields)) + b"\r\n" + body


CL = b"Content-Length: 2"
TE = b"Transfer-Encoding: chunked"

ROWS = [
    # Status line
    Row("plain", answer(CL), "9112 4", ok()),
    Row("reason of the origin's own", answer(CL, line=b"HTTP/1.1 200 Alles gut"), "9112 4",
        passed(b"200 Alles gut", DATE, framing=CL, body=b"ok")),
    Row("empty reason", answer(CL, line=b"HTTP/1.1 200 "), "9112 4 the space stays",
        passed(b"200 ", DATE, framing=CL, body=b"ok")),
    Row("no reason and no space", answer(CL, line=b"HTTP/1.1 200"),
        "9112 4 the space is due; many origins forget it, and nothing can be misread",
        passed(b"200 ", DATE, framing=CL, body=b"ok")),
    Row("obs-text in the reason", answer(CL, line=b"HTTP/1.1 200 \xfcber"), "9112 4",
        passed(b"200 \xfcber", DATE, framing=CL, body=b"ok")),
    Row("unknown status passes", answer(CL, line=b"HTTP/1.1 499 Own"), "9110 15",
        passed(b"499 Own", DATE, framing=CL, body=b"ok")),
    Row("status of no class passes", answer(CL, line=b"HTTP/1.1 999 No"),
        "9110 15 the client reads it as 5xx", passed(b"999 No", DATE, framing=CL, body=b"ok")),
    Row("error of the origin passes", answer(CL, line=b"HTTP/1.1 500 Oops"), "9110 15.6",
        passed(b"500 Oops", DATE, framing=CL, body=b"ok")),
    Row("status 099", answer(CL, line=b"HTTP/1.1 099 No"), "9110 15", bad()),
    Row("status of two digits", answer(CL, line=b"HTTP/1.1 20 OK"), "9112 4", bad()),
    Row("status of four digits", answer(CL, line=b"HTTP/1.1 2000 OK"), "9112 4", bad()),
    Row("status with a letter", answer(CL, line=b"HTTP/1.1 2o0 OK"), "9112 4", bad()),
    Row("negative status", answer(CL, line=b"HTTP/1.1 -20 OK"), "9112 4", bad()),
    Row("two spaces before the status", answer(CL, line=b"HTTP/1.1  200 OK"), "9112 4", bad()),
    Row("tab before the status", answer(CL, line=b"HTTP/1.1\t200 OK"), "9112 4", bad()),
    Row("NUL in the reason", answer(CL, line=b"HTTP/1.1 200 O\0K"), "9112 4", bad()),
    Row("bare CR in the reason", answer(CL, line=b"HTTP/1.1 200 O\rK"), "9112 2.2", bad()),
    Row("HTTP/2.0", answer(CL, line=b"HTTP/2.0 200 OK"), "9112 2.3", bad()),
    Row("another protocol", answer(CL, line=b"HTTPS/1.1 200 OK"), "9112 2.3", bad()),
    Row("version in lower case", answer(CL, line=b"http/1.1 200 OK"), "9112 2.3", bad()),
    Row("ICY of old streams", answer(CL, line=b"ICY 200 OK"), "9112 2.3", bad()),
    Row("only a body", b"<html>hello</html>\r\n\r\n", "9112 4", bad(), then="closes"),
    Row("garbage", bytes(range(128, 256)) * 4 + b"\r\n\r\n", "9112 4", bad(), then="closes"),
    Row("empty line first", b"\r\n" + answer(CL), "9112 2.2 allows it in requests only", bad()),
    Row("space first", b" " + answer(CL), "9112 4", bad()),
    Row("version 1.2 is read as 1.1", answer(CL, line=b"HTTP/1.2 200 OK"), "9110 2.5", ok()),
    # Fields
    Row("names, order and values are kept", answer(b"x-b: 1", b"X-A:\t2 ", b"x-B: 3", CL),
        "9110 5.3", ok(b"x-b: 1", b"X-A: 2", b"x-B: 3")),
    Row("cookies stay apart", answer(b"Set-Cookie: a=1", b"Set-Cookie: b=2", CL), "9110 5.3",
        ok(b"Set-Cookie: a=1", b"Set-Cookie: b=2")),
    Row("Server is the origin's", answer(b"Server: x/1", CL), "9110 10.2.4",
        ok(b"Server: x/1")),
    Row("Via of the origin stays", answer(b"Via: 1.0 fred", CL), "9110 7.6.3",
        ok(b"Via: 1.0 fred")),
    Row("obs-text in a value", answer(b"X-A: \xe9", CL), "9110 5.5", ok(b"X-A: \xe9")),
    Row("no Date", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "9110 6.6.1 a recipient with a clock adds it",
        passed(b"200 OK", framing=CL, body=b"ok", dated=False)),
    Row("folded line", answer(b"X-A: a", b" b", CL), "9112 5.2 MUST discard or replace", bad()),
    Row("space before the colon", answer(b"X-A : a", CL),
        "9112 5.1 MUST remove it; two readings, so refused", bad()),
    Row("space before the first field", answer(CL, line=b"HTTP/1.1 200 OK\r\n X-A: a"),
        "9112 2.2", bad()),
    Row("no colon", answer(b"X-A", CL), "9112 5", bad()),
    Row("empty name", answer(b": a", CL), "9112 5", bad()),
    Row("bracket in a name", answer(b"X(A: a", CL), "9110 5.6.2", bad()),
    Row("NUL in a value", answer(b"X-A: a\0", CL), "9110 5.5", bad()),
    Row("control byte in a value", answer(b"X-A: \x08", CL), "9110 5.5", bad()),
    Row("bare LF ends a field", b"HTTP/1.1 200 OK\r\nX-A: a\nContent-Length: 2\r\n\r\nok",
        "9112 2.2", bad()),
    Row("only bare LFs", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "9112 2.2", bad()),
    Row("bare CR in a value: response splitting", answer(b"X-A: a\rSet-Cookie: b=c", CL),
        "9112 2.2", bad()),
    Row("head too large", answer(*[b"X-%d: " % n + b"v" * 3000 for n in range(14)], CL),
        "6585 5 in spirit", bad()),
    Row("too many fields", answer(*[b"X: %d" % n for n in range(200)], CL), "9110 5.4", bad()),
    # One hop only
    Row("Connection and what it lists",
        answer(b"X-A: 1", b"Connection: X-A, keep-alive", b"Keep-Alive: timeout=5", CL),
        "9110 7.6.1", ok()),
    Row("close ends only that hop", answer(b"Connection: close", CL), "9112 9.6",
        ok(reused=False), then="closes"),
    Row("close, but the origin stays", answer(b"Connection: close", CL),
        "9112 9.6 the client MUST close too", ok(reused=False)),
    Row("Proxy-Connection", answer(b"Proxy-Connection: keep-alive", CL), "9110 7.6.1", ok()),
    Row("Upgrade offered", answer(b"Connection: upgrade", b"Upgrade: h2c", CL), "9110 7.8",
        ok()),
    # Framing
    Row("chunked", answer(TE, body=b"2\r\nok\r\n0\r\n\r\n"), "9112 7.1", ok_chunked()),
    Row("chunked in other letters", answer(b"transfer-encoding: CHUNKED",
        body=b"1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n"), "9112 7", ok_chunked()),
    Row("trailers", answer(b"Trailer: X-T", TE, body=b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"),
        "9110 6.5", ok_chunked(b"Trailer: X-T", trailers=b"X-T: 1\r\n")),
    Row("trailers that may not be trailers",
        answer(TE, body=b"2\r\nok\r\n0\r\nContent-Length: 5\r\nX-T: 1\r\nContent-Type: a/b\r\n"
               b"Transfer-Encoding: gzip\r\nSet-Cookie: a=b\r\n\r\n"),
        "9110 6.5.1", Verdict("passed-trailers", ok_chunked().head, b"ok", b"X-T: 1\r\n")),
    Row("until the close", answer(), "9112 6.3 rule 8", ok_chunked(reused=False), then="closes"),
    Row("until the close, for HTTP/1.0", answer(), "9112 6.3 rule 8; 1.0 knows no chunks",
        passed(b"200 OK", DATE, body=b"ok", reused=False, closes=True), then="closes",
        request=GET10),
    Row("chunked, for HTTP/1.0", answer(TE, body=b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"),
        "9112 6.1 MUST NOT send it to 1.0", passed(b"200 OK", DATE, body=b"ok", closes=True),
        request=GET10),
    Row("HTTP/1.0 with a length", answer(CL, line=b"HTTP/1.0 200 OK"), "9112 9.3",
        ok(via=b"1.0", reused=False), then="closes"),
    Row("HTTP/1.0 until the close", answer(line=b"HTTP/1.0 200 OK"), "9112 6.3",
        ok_chunked(via=b"1.0", reused=False), then="closes"),
    Row("chunked in HTTP/1.0", answer(TE, line=b"HTTP/1.0 200 OK", body=b"2\r\nok\r\n0\r\n\r\n"),
        "9112 6.1 MUST treat as faulty", bad()),
    Row("leading zeros", answer(b"Content-Length: 0002"), "9110 8.6 written anew", ok()),
    Row("Content-Length and Transfer-Encoding", answer(CL, TE, body=b"2\r\nok\r\n0\r\n\r\n"),
        "9112 6.3 rule 3", bad()),
    Row("Transfer-Encoding and Content-Length", answer(TE, CL, body=b"2\r\nok\r\n0\r\n\r\n"),
        "9112 6.3 rule 3", bad()),
    Row("differing lengths", answer(CL, b"Content-Length: 3"), "9112 6.3 rule 5", bad()),
    Row("list of differing lengths", answer(b"Content-Length: 2, 3"), "9112 6.3 rule 5", bad()),
    Row("equal lengths", answer(CL, CL), "9112 6.3 rule 5 MAY take one; refused as in requests",
        bad()),
    Row("negative length", answer(b"Content-Length: -2"), "9112 6.3 rule 5", bad()),
    Row("length with a plus", answer(b"Content-Length: +2"), "9112 6.3 rule 5", bad()),
    Row("length in hex", answer(b"Content-Length: 0x2"), "9112 6.3 rule 5", bad()),
    Row("empty length", answer(b"Content-Length:"), "9112 6.3 rule 5", bad()),
    Row("length of 2^64 + 2", answer(b"Content-Length: 18446744073709551618"), "9110 8.6",
        bad()),
    Row("unknown coding", answer(b"Transfer-Encoding: gzip"), "9112 6.1", bad(), then="closes"),
    Row("coding before chunked", answer(b"Transfer-Encoding: gzip, chunked",
        body=b"2\r\nok\r\n0\r\n\r\n"), "9112 6.1; we asked for none", bad()),
    Row("chunked is not last", answer(b"Transfer-Encoding: chunked, gzip"), "9112 6.3", bad(),
        then="closes"),
    Row("chunked twice", answer(TE, TE, body=b"2\r\nok\r\n0\r\n\r\n"), "9112 6.1", bad()),
    # No body
    Row("HEAD", answer(b"Content-Length: 1000", body=b""), "9110 9.3.2 the length stays",
        passed(b"200 OK", DATE, framing=b"Content-Length: 1000"), request=HEAD),
    Row("HEAD with a body", answer(CL), "9112 6.3 rule 1",
        passed(b"200 OK", DATE, framing=CL, reused=False), request=HEAD),
    Row("204", answer(line=b"HTTP/1.1 204 No Content", body=b""), "9112 6.3 rule 1",
        passed(b"204 No Content", DATE)),
    Row("204 with a body", answer(CL, line=b"HTTP/1.1 204 No Content"),
        "9110 8.6 no length in a 204; 9112 6.3 rule 1",
        passed(b"204 No Content", DATE, reused=False)),
    Row("304", answer(b'ETag: "a"', line=b"HTTP/1.1 304 Not Modified", body=b""),
        "9112 6.3 rule 1", passed(b"304 Not Modified", DATE, b'ETag: "a"')),
    Row("304 with a length", answer(b"Content-Length: 9", line=b"HTTP/1.1 304 Not Modified",
        body=b""), "9110 8.6 it tells what a 200 would have",
        passed(b"304 Not Modified", DATE, framing=b"Content-Length: 9")),
    Row("304 with a body", answer(line=b"HTTP/1.1 304 Not Modified"), "9112 6.3 rule 1",
        passed(b"304 Not Modified", DATE, reused=False)),
    # Interim
    Row("103", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(CL), "9110 15.2",
        ok(interim=(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",))),
    Row("103, for HTTP/1.0", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(CL),
        "9110 15.2 MUST NOT send it to 1.0", ok(closes=True), request=GET10),
    Row("flood of 103", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50 + answer(CL),
        "no sender needs more than 10", Verdict("bad-after-interim", reused=False,
                                                cause="upstream_bad_response")),
    Row("101 that nobody asked for",
        answer(b"Connection: upgrade", b"Upgrade: x", line=b"HTTP/1.1 101 Switching Protocols",
               body=b""), "9110 7.8 MUST NOT", bad()),
    Row("199 is interim", b"HTTP/1.1 199 Own\r\n\r\n" + answer(CL), "9110 15.2",
        ok(interim=(b"HTTP/1.1 199 Own\r\n\r\n",))),
    # Early ends
    Row("end before the answer", b"", "9112 8", bad("upstream_closed"), then="closes"),
    Row("end inside the status line", b"HTTP/1.1 20", "9112 8", bad("upstream_closed"),
        then="closes"),
    Row("end inside the head", b"HTTP/1.1 200 OK\r\nContent-Le", "9112 8",
        bad("upstream_closed"), then="closes"),
    Row("end behind an interim answer", b"HTTP/1.1 103 Early Hints\r\n\r\n", "9112 8",
        Verdict("bad-after-interim", reused=False, cause="upstream_closed"), then="closes"),
    Row("end inside the body", answer(b"Content-Length: 9"), "9112 8",
        torn(passed(b"200 OK", DATE, framing=b"Content-Length: 9"), b"ok", "upstream_closed"),
        then="closes"),
    Row("end inside a chunk", answer(TE, body=b"9\r\nok"), "9112 8",
        torn(ok_chunked(), b"ok", "upstream_closed"), then="closes"),
    Row("end between chunks", answer(TE, body=b"2\r\nok\r\n"), "9112 8",
        torn(ok_chunked(), b"ok", "upstream_closed"), then="closes"),
    Row("end inside the trailers", answer(TE, body=b"2\r\nok\r\n0\r\nX-T"), "9112 8",
        torn(ok_chunked(), b"ok", "upstream_closed"), then="closes"),
    Row("bad chunk", answer(TE, body=b"2\r\nok\r\nxyz\r\n0\r\n\r\n"), "9112 7.1",
        torn(ok_chunked(), b"ok", "upstream_bad_response")),
    Row("chunk longer than its size", answer(TE, body=b"2\r\nokk\r\n0\r\n\r\n"), "9112 7.1",
        torn(ok_chunked(), b"ok", "upstream_bad_response")),
    Row("chunk size that overflows", answer(TE, body=b"2\r\nok\r\n10000000000000001\r\nx"),
        "9112 7.1", torn(ok_chunked(), b"ok", "upstream_bad_response")),
    Row("bad trailer", answer(TE, body=b"2\r\nok\r\n0\r\nX T: 1\r\n\r\n"), "9112 5",
        torn(ok_chunked(), b"ok", "upstream_bad_response")),
    # More than was asked for
    Row("bytes behind the end", answer(CL, body=b"okmore"),
        "9112 9.2 they would be the next client's answer", ok(reused=False)),
    Row("a second answer", answer(CL) + answer(CL, body=b"no"), "9112 9.2", ok(reused=False)),
    Row("bytes behind the last chunk", answer(TE, body=b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK"),
        "9112 9.2", ok_chunked(reused=False)),
    Row("an answer that nobody asked for", answer(CL), "9112 9.2 sent while idle",
        ok(reused=False), then="talks"),
]

"""Raw requests and what RFC 9110, 9112 and 3986 make of them. Data for test_strictness.py.

A verdict is one of
  refused(status)    our own answer, the connection closes, the origin gets nothing
  cut(status)        the same, found in the body: the origin may have seen a beginning
  answered(status)   our own answer, the connection goes on
  forwarded(sent..)  the origin gets exactly these requests, in this order, and nothing else
A tuple of statuses stands where the RFC leaves the choice open.
"""

from dataclasses import dataclass

H = b"Host: a.test\r\n"


@dataclass(frozen=True)
class Sent:
    head: bytes
    body: bytes
    trailers: bytes


@dataclass(frozen=True)
class Verdict:
    kind: str                # refused | cut | answered | forwarded
    status: tuple = ()
    sent: tuple = ()
    closes: bool = True


@dataclass(frozen=True)
class Row:
    name: str
    raw: bytes
    rfc: str
    verdict: Verdict
    trusted: bool = False    # the client's address is one that `trusted` names


def statuses(status):
    return status if isinstance(status, tuple) else (status,)


def refused(status):
    return Verdict("refused", statuses(status))


def cut(status=400):
    return Verdict("cut", statuses(status))


def answered(status):
    return Verdict("answered", statuses(status), closes=False)


def forwarded(*sent, closes=False):
    return Verdict("forwarded", sent=sent, closes=closes)


def ours(host=b"a.test", via=b"1.1"):
    """The fields that Ringway adds for a client that is not trusted."""
    return (b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Proto: http",
            b"X-Forwarded-Host: " + host, b"X-Request-Id: {id}", b"Via: " + via + b" ringway")


def sent(line, *fields, host=b"a.test", framing=None, body=b"", trailers=b"", via=b"1.1",
         added=None):
    """One request as the origin must see it: Host, the client's fields, ours, framing."""
    lines = [line + b" HTTP/1.1", b"Host: " + host, *fields]
    lines += ours(host, via) if added is None else added
    if framing is not None:
        lines.append(framing)
    return Sent(b"\r\n".join(lines) + b"\r\n\r\n", body, trailers)


def chunked(line, *fields, body=b"", trailers=b""):
    return sent(line, *fields, framing=b"Transfer-Encoding: chunked", body=body,
                trailers=trailers)


def length(line, body, *fields):
    return sent(line, *fields, framing=b"Content-Length: %d" % len(body), body=body)


def get(target, *fields):
    """GET as sent by a client, with field lines that end in CRLF."""
    return b"GET " + target + b" HTTP/1.1\r\n" + H + b"".join(f + b"\r\n" for f in fields) + b"\r\n"


def post(*fields, body=b""):
    return b"POST /p HTTP/1.1\r\n" + H + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body


def chunks(body, *fields):
    return post(*fields, b"Transfer-Encoding: chunked", body=body)


REQUEST_LINE = [
    Row("plain", get(b"/"), "9112 3", forwarded(sent(b"GET /"))),
    Row("query is kept", get(b"/a?b=c&d"), "9112 3.2.1", forwarded(sent(b"GET /a?b=c&d"))),
    Row("empty query is kept", get(b"/a?"), "3986 3.4", forwarded(sent(b"GET /a?"))),
    Row("unknown method", b"M-SEARCH /x HTTP/1.1\r\n" + H + b"\r\n", "9110 9.1 any token",
        forwarded(sent(b"M-SEARCH /x"))),
    Row("lower-case method is another method", b"get / HTTP/1.1\r\n" + H + b"\r\n",
        "9110 9.1 methods are case-sensitive", forwarded(sent(b"get /"))),
    Row("method that is no token", b"G@T / HTTP/1.1\r\n" + H + b"\r\n", "9112 3.1", refused(400)),
    Row("method with a bracket", b"GET( / HTTP/1.1\r\n" + H + b"\r\n", "9112 3.1", refused(400)),
    Row("method with NUL", b"GE\0T / HTTP/1.1\r\n" + H + b"\r\n", "9112 3.1", refused(400)),
    Row("no method", b" / HTTP/1.1\r\n" + H + b"\r\n", "9112 3", refused(400)),
    Row("space before the request line", b" GET / HTTP/1.1\r\n" + H + b"\r\n", "9112 2.2",
        refused(400)),
    Row("two spaces before the target", b"GET  / HTTP/1.1\r\n" + H + b"\r\n", "9112 3",
        refused(400)),
    Row("two spaces before the version", b"GET /  HTTP/1.1\r\n" + H + b"\r\n", "9112 3",
        refused(400)),
    Row("space after the version", b"GET / HTTP/1.1 \r\n" + H + b"\r\n", "9112 3", refused(400)),
    Row("tab as separator", b"GET\t/ HTTP/1.1\r\n" + H + b"\r\n", "9112 3 one SP", refused(400)),
    Row("vertical tab as separator", b"GET /\x0bHTTP/1.1\r\n" + H + b"\r\n", "9112 3",
        refused(400)),
    Row("no target", b"GET HTTP/1.1\r\n" + H + b"\r\n", "9112 3", refused(400)),
    Row("space in the target", get(b"/a b"), "9112 3.2 whitespace is not allowed", refused(400)),
    Row("one empty line first", b"\r\n" + get(b"/"), "9112 2.2 SHOULD ignore one",
        forwarded(sent(b"GET /"))),
    Row("two empty lines first", b"\r\n\r\n" + get(b"/"),
        "9112 2.2 says at least one; more is no client that we know", refused(400)),
    Row("a bare LF first", b"\n" + get(b"/"), "9112 2.2 the empty line is a CRLF", refused(400)),
    Row("HTTP/0.9", b"GET /\r\n", "9112 3 HTTP-version is not optional", refused(400)),
    Row("version 0.9 by name", b"GET / HTTP/0.9\r\n" + H + b"\r\n", "9110 15.6.6",
        refused((400, 505))),
    Row("version 1.2 is read as 1.1", b"GET / HTTP/1.2\r\n" + H + b"\r\n", "9110 2.5",
        forwarded(sent(b"GET /"))),
    Row("version 1.9 is read as 1.1", b"GET / HTTP/1.9\r\n" + H + b"\r\n", "9110 2.5",
        forwarded(sent(b"GET /"))),
    Row("version 2.0", b"GET / HTTP/2.0\r\n" + H + b"\r\n", "9110 15.6.6", refused(505)),
    Row("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "9113 3.4 with 9110 15.6.6",
        refused(505)),
    Row("version 3.0", b"GET / HTTP/3.0\r\n" + H + b"\r\n", "9110 15.6.6", refused(505)),
    Row("version 1.10", b"GET / HTTP/1.10\r\n" + H + b"\r\n", "9112 2.3 one DIGIT", refused(400)),
    Row("version 01.1", b"GET / HTTP/01.1\r\n" + H + b"\r\n",
        "9112 2.3 bad syntax, or a major version of 0", refused((400, 505))),
    Row("version 1", b"GET / HTTP/1\r\n" + H + b"\r\n", "9112 2.3", refused(400)),
    Row("version 1.", b"GET / HTTP/1.\r\n" + H + b"\r\n", "9112 2.3", refused(400)),
    Row("version 1,1", b"GET / HTTP/1,1\r\n" + H + b"\r\n", "9112 2.3", refused(400)),
    Row("version in lower case", b"GET / http/1.1\r\n" + H + b"\r\n",
        "9112 2.3 HTTP-name is case-sensitive", refused(400)),
    Row("another protocol's name", b"GET / HTTPS/1.1\r\n" + H + b"\r\n", "9112 2.3", refused(400)),
    Row("space inside the version", b"GET / HTTP /1.1\r\n" + H + b"\r\n", "9112 2.3",
        refused(400)),
    Row("ClientHello of TLS", b"\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03" + b"\x07" * 36,
        "9112 3", refused(400)),
    Row("greeting of SSH", b"SSH-2.0-OpenSSH_9.2\r\n", "9112 3", refused(400)),
    Row("PROXY line on a listener without it",
        b"PROXY TCP4 10.1.1.1 10.2.2.2 1 2\r\n" + get(b"/"),
        "9112 3; never guessed, else any client forges its address", refused(400)),
]

TARGET = [
    Row("fragment", get(b"/a#b"), "9112 3.2.1 origin-form has none", refused(400)),
    Row("bytes outside ASCII", get(b"/\xc3\xa9"), "3986 2", refused(400)),
    Row("DEL", get(b"/a\x7f"), "3986 2", refused(400)),
    Row("control byte", get(b"/a\x01"), "3986 2", refused(400)),
    Row("backslash", get(b"/a\\b"), "3986 3.3; some origins read it as a slash", refused(400)),
    Row("encoded backslash is data", get(b"/a%5Cb"), "3986 2.2", forwarded(sent(b"GET /a%5Cb"))),
    Row("encoded slash is data", get(b"/a%2Fb"), "3986 2.2", forwarded(sent(b"GET /a%2Fb"))),
    Row("encodings are written in capitals", get(b"/a%2fb%c3%a9"), "3986 6.2.2.1",
        forwarded(sent(b"GET /a%2Fb%C3%A9"))),
    Row("what needs no encoding loses it", get(b"/%61%7E%2D%5F%2e%30"),
        "3986 6.2.2.2; else /%61dmin walks past a rule for /admin",
        forwarded(sent(b"GET /a~-_.0"))),
    Row("what needs its encoding keeps it", get(b"/a%3Fb%23c%25d%20e"), "3986 2.2",
        forwarded(sent(b"GET /a%3Fb%23c%25d%20e"))),
    Row("nothing is decoded twice", get(b"/a/%252e%252e/b"), "3986 2.4 MUST NOT",
        forwarded(sent(b"GET /a/%252e%252e/b"))),
    Row("dots beside an encoded slash are data", get(b"/a/..%2Fb"),
        "3986 3.3 the segment is `..%2Fb`", forwarded(sent(b"GET /a/..%2Fb"))),
    Row("the query is not rewritten", get(b"/a?%61%2f"), "9110 7.7",
        forwarded(sent(b"GET /a?%61%2f"))),
    Row("broken encoding in the query", get(b"/a?b=%zz"), "3986 2.1", refused(400)),
    Row("quotation mark in the query", get(b'/a?b="'), "3986 3.4", refused(400)),
    Row("angle bracket in the path", get(b"/a<b"), "3986 3.3", refused(400)),
    Row("encoded NUL", get(b"/a%00b"), "3986 7.3", refused(400)),
    Row("percent without digits", get(b"/a%zz"), "3986 2.1", refused(400)),
    Row("percent with one digit", get(b"/a%4"), "3986 2.1", refused(400)),
    Row("percent at the end", get(b"/a%"), "3986 2.1", refused(400)),
    Row("dot segment", get(b"/a/./b"), "3986 5.2.4", forwarded(sent(b"GET /a/b"))),
    Row("dot segment at the end", get(b"/a/."), "3986 5.2.4", forwarded(sent(b"GET /a/"))),
    Row("dot-dot", get(b"/a/../b"), "3986 5.2.4", forwarded(sent(b"GET /b"))),
    Row("dot-dot at the end", get(b"/a/b/.."), "3986 5.2.4", forwarded(sent(b"GET /a/"))),
    Row("dot-dot before a query", get(b"/a/..?x=1"), "3986 5.2.4", forwarded(sent(b"GET /?x=1"))),
    Row("encoded dots", get(b"/a/%2e%2E/b"), "3986 6.2.2.2 and .3", forwarded(sent(b"GET /b"))),
    Row("half encoded dots", get(b"/a/.%2e/b"), "3986 6.2.2.2 and .3",
        forwarded(sent(b"GET /b"))),
    Row("encoded single dot", get(b"/a/%2e/b"), "3986 6.2.2.2 and .3",
        forwarded(sent(b"GET /a/b"))),
    Row("three dots are a name", get(b"/a/.../b"), "3986 3.3", forwarded(sent(b"GET /a/.../b"))),
    Row("above the root", get(b"/.."), "3986 5.2.4; we refuse what it would clamp",
        refused(400)),
    Row("above the root, deeper", get(b"/a/../../b"), "3986 5.2.4", refused(400)),
    Row("above the root, encoded", get(b"/%2e%2e/b"), "3986 5.2.4", refused(400)),
    Row("double slashes are kept", get(b"//a//b"), "3986 3.3 empty segments are segments",
        forwarded(sent(b"GET //a//b"))),
    Row("dots in the query are data", get(b"/a?x=/../y"), "3986 3.4",
        forwarded(sent(b"GET /a?x=/../y"))),
    Row("path without slash", get(b"a"), "9112 3.2.1", refused(400)),
    Row("parameters in a segment", get(b"/a;v=1/b"), "3986 3.3",
        forwarded(sent(b"GET /a;v=1/b"))),
    Row("absolute-form", get(b"http://a.test/x?y"), "9112 3.2.2", forwarded(sent(b"GET /x?y"))),
    Row("absolute-form without a path", get(b"http://a.test"), "9112 3.2.1",
        forwarded(sent(b"GET /"))),
    Row("absolute-form with a query only", get(b"http://a.test?y"), "9112 3.2.1",
        forwarded(sent(b"GET /?y"))),
    Row("absolute-form, scheme in capitals", get(b"HTTP://a.test/x"), "3986 3.1",
        forwarded(sent(b"GET /x"))),
    Row("absolute-form that disagrees with Host", get(b"http://b.test/x"),
        "9112 3.2.2; two names for one request route one way and are checked another",
        refused(400)),
    Row("absolute-form with userinfo", get(b"http://u:p@a.test/x"), "9110 4.2.4", refused(400)),
    Row("absolute-form of https on a plain listener", get(b"https://a.test/x"),
        "9110 15.5.20; not what this listener serves", answered(421)),
    Row("absolute-form of another scheme", get(b"ftp://a.test/x"), "9112 3.2.2", refused(400)),
    Row("absolute-form without a host", get(b"http:///x"), "9110 4.2.1 empty host is invalid",
        refused(400)),
    Row("authority-form outside CONNECT", get(b"a.test:80"), "9112 3.2.3", refused(400)),
    Row("CONNECT", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", "9110 9.3.6",
        refused(501)),
    Row("asterisk outside OPTIONS", get(b"*"), "9112 3.2.4", refused(400)),
    Row("OPTIONS of the server", b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n", "9112 3.2.4",
        forwarded(sent(b"OPTIONS *"))),
    Row("OPTIONS of the server in absolute-form", b"OPTIONS http://a.test HTTP/1.1\r\n" + H +
        b"\r\n", "9112 3.2.4 the last proxy sends `*`", forwarded(sent(b"OPTIONS *"))),
    Row("asterisk with a rest", b"OPTIONS *x HTTP/1.1\r\n" + H + b"\r\n", "9112 3.2.4",
        refused(400)),
]


def host(value):
    return b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n"


HOST = [
    Row("no Host", b"GET / HTTP/1.1\r\n\r\n", "9112 3.2", refused(400)),
    Row("two Hosts", b"GET / HTTP/1.1\r\n" + H + b"Host: b.test\r\n\r\n", "9112 3.2",
        refused(400)),
    Row("two equal Hosts", b"GET / HTTP/1.1\r\n" + H + H + b"\r\n", "9112 3.2", refused(400)),
    Row("Host without a colon's space", b"GET / HTTP/1.1\r\nHost:a.test\r\n\r\n", "9112 5.1",
        forwarded(sent(b"GET /"))),
    Row("Host moves to the front", b"GET / HTTP/1.1\r\nA: 1\r\n" + H + b"B: 2\r\n\r\n",
        "9110 7.2 SHOULD be first", forwarded(sent(b"GET /", b"A: 1", b"B: 2"))),
    Row("Host with a port", host(b"a.test:8080"), "9110 7.2",
        forwarded(sent(b"GET /", host=b"a.test:8080"))),
    Row("Host keeps its letters", host(b"A.Test"), "9110 4.2.3; ours to match, not to change",
        forwarded(sent(b"GET /", host=b"A.Test"))),
    Row("Host is an IPv6 address", host(b"[::1]:80"), "3986 3.2.2",
        forwarded(sent(b"GET /", host=b"[::1]:80"))),
    Row("empty Host", host(b""), "9110 4.2.1 empty host is invalid", refused(400)),
    Row("Host with userinfo", host(b"u@a.test"), "9110 7.2 uri-host", refused(400)),
    Row("Host with a space", host(b"a. test"), "9110 7.2", refused(400)),
    Row("Host with a path", host(b"a.test/x"), "9110 7.2", refused(400)),
    Row("Host with a query", host(b"a.test?x"), "9110 7.2", refused(400)),
    Row("Host with letters as port", host(b"a.test:8x"), "3986 3.2.3", refused(400)),
    Row("Host with a port too big", host(b"a.test:65536"), "3986 3.2.3; ports have 16 bits",
        refused(400)),
    Row("Host with port 0", host(b"a.test:0"), "3986 3.2.3; nothing listens there", refused(400)),
    Row("Host with a colon and no port", host(b"a.test:"),
        "3986 3.2.3 allows it, 6.2.3 says to leave it out; peers read it differently",
        refused(400)),
    Row("Host with a percent-encoding", host(b"a%2etest"),
        "3986 3.2.2 allows it; no name that resolves has one", refused(400)),
    Row("Host with two ports", host(b"a.test:80:80"), "3986 3.2.3", refused(400)),
    Row("Host with an open bracket", host(b"[::1"), "3986 3.2.2", refused(400)),
    Row("Host with text behind the bracket", host(b"[::1]x"), "3986 3.2.2", refused(400)),
    Row("Host with no address in brackets", host(b"[a.test]"), "3986 3.2.2", refused(400)),
    Row("IPv6 without brackets", host(b"::1"), "3986 3.2.2", refused(400)),
    Row("Host outside ASCII", host(b"\xc3\xa9.test"), "3986 3.2.2", refused(400)),
    Row("Host with a backslash", host(b"a\\b"), "3986 3.2.2", refused(400)),
]

FIELDS = [
    Row("values are trimmed", get(b"/", b"X-A: \t v  w \t"), "9112 5.1",
        forwarded(sent(b"GET /", b"X-A: v  w"))),
    Row("empty value", get(b"/", b"X-A:"), "9110 5.5", forwarded(sent(b"GET /", b"X-A: "))),
    Row("names and order are kept", get(b"/", b"x-b: 1", b"X-A: 2", b"x-B: 3"),
        "9110 5.3 order of equal names matters",
        forwarded(sent(b"GET /", b"x-b: 1", b"X-A: 2", b"x-B: 3"))),
    Row("tab inside a value", get(b"/", b"X-A: v\tw"), "9110 5.5",
        forwarded(sent(b"GET /", b"X-A: v\tw"))),
    Row("obs-text in a value", get(b"/", b"X-A: \xe9\xff"), "9110 5.5",
        forwarded(sent(b"GET /", b"X-A: \xe9\xff"))),
    Row("every character of a token", get(b"/", b"!#$%&'*+-.^_`|~09aZ: v"), "9110 5.6.2",
        forwarded(sent(b"GET /", b"!#$%&'*+-.^_`|~09aZ: v"))),
    Row("colons in a value", get(b"/", b"X-A: a:b::c"), "9112 5",
        forwarded(sent(b"GET /", b"X-A: a:b::c"))),
    Row("two cookies stay two", get(b"/", b"Cookie: a=1", b"Cookie: b=2"), "9110 5.3",
        forwarded(sent(b"GET /", b"Cookie: a=1", b"Cookie: b=2"))),
    Row("space before the colon", get(b"/", b"X-A : v"), "9112 5.1 MUST reject", refused(400)),
    Row("tab before the colon", get(b"/", b"X-A\t: v"), "9112 5.1", refused(400)),
    Row("empty name", get(b"/", b": v"), "9112 5", refused(400)),
    Row("no colon", get(b"/", b"X-A"), "9112 5", refused(400)),
    Row("space in a name", get(b"/", b"X A: v"), "9110 5.6.2", refused(400)),
    Row("bracket in a name", get(b"/", b"X(A): v"), "9110 5.6.2", refused(400)),
    Row("quote in a name", get(b"/", b'X"A: v'), "9110 5.6.2", refused(400)),
    Row("name outside ASCII", get(b"/", b"X-\xe9: v"), "9110 5.6.2", refused(400)),
    Row("NUL in a name", get(b"/", b"X-\0A: v"), "9110 5.6.2", refused(400)),
    Row("NUL in a value", get(b"/", b"X-A: a\0b"), "9110 5.5 MUST reject", refused(400)),
    Row("control byte in a value", get(b"/", b"X-A: a\x01b"), "9110 5.5", refused(400)),
    Row("DEL in a value", get(b"/", b"X-A: a\x7fb"), "9110 5.5", refused(400)),
    Row("folded line", get(b"/", b"X-A: a", b" b"), "9112 5.2", refused(400)),
    Row("line folded by a tab", get(b"/", b"X-A: a", b"\tb"), "9112 5.2", refused(400)),
    Row("space before the first field", b"GET / HTTP/1.1\r\n " + H + b"\r\n", "9112 2.2",
        refused(400)),
    Row("bare LF ends the request line", b"GET / HTTP/1.1\n" + H + b"\r\n",
        "9112 2.2 MAY accept; two line ends are two readings", refused(400)),
    Row("bare LF ends a field", b"GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n", "9112 2.2",
        refused(400)),
    Row("bare LF ends the head", b"GET / HTTP/1.1\r\nHost: a.test\r\n\n", "9112 2.2",
        refused(400)),
    Row("only bare LFs", b"GET / HTTP/1.1\nHost: a.test\n\n", "9112 2.2", refused(400)),
    Row("bare CR in the request line", b"GET /\r HTTP/1.1\r\n" + H + b"\r\n", "9112 2.2",
        refused(400)),
    Row("bare CR in a value", get(b"/", b"X-A: a\rX-B: b"), "9112 2.2", refused(400)),
    Row("bare CR in a name", get(b"/", b"X\r-A: a"), "9112 2.2", refused(400)),
    Row("two CRs", get(b"/", b"X-A: a\r"), "9112 2.2", refused(400)),
]

FRAMING = [
    Row("Content-Length", post(b"Content-Length: 5", body=b"hello"), "9112 6.2",
        forwarded(length(b"POST /p", b"hello"))),
    Row("framing goes behind all fields",
        post(b"Content-Length: 5", b"X-A: 1", body=b"hello"), "9112 6",
        forwarded(length(b"POST /p", b"hello", b"X-A: 1"))),
    Row("its name in other letters", post(b"cOnTeNt-LENGTH: 5", body=b"hello"), "9110 5.1",
        forwarded(length(b"POST /p", b"hello"))),
    Row("leading zeros", post(b"Content-Length: 005", body=b"hello"),
        "9110 8.6 1*DIGIT; some read octal, so it is written anew",
        forwarded(length(b"POST /p", b"hello"))),
    Row("zero", post(b"Content-Length: 0"), "9112 6.2", forwarded(length(b"POST /p", b""))),
    Row("POST without framing has no body", post(), "9112 6.3",
        forwarded(sent(b"POST /p"))),
    Row("GET with a body", get(b"/", b"Content-Length: 3") + b"abc", "9110 9.3.1",
        forwarded(length(b"GET /", b"abc"))),
    Row("Content-Length with a plus", post(b"Content-Length: +5", body=b"hello"), "9110 8.6",
        refused(400)),
    Row("negative Content-Length", post(b"Content-Length: -1"), "9110 8.6", refused(400)),
    Row("Content-Length in hex", post(b"Content-Length: 0x5", body=b"hello"), "9110 8.6",
        refused(400)),
    Row("Content-Length of hex letters", post(b"Content-Length: a", body=b"0123456789"),
        "9110 8.6", refused(400)),
    Row("empty Content-Length", post(b"Content-Length:"), "9110 8.6", refused(400)),
    Row("space inside Content-Length", post(b"Content-Length: 1 0"), "9110 8.6", refused(400)),
    Row("fraction as Content-Length", post(b"Content-Length: 5.0", body=b"hello"), "9110 8.6",
        refused(400)),
    Row("Content-Length of 2^63", post(b"Content-Length: 9223372036854775808"),
        "9110 8.6 MUST expect large numbers and prevent overflow", refused(400)),
    Row("Content-Length of 2^64 + 5", post(b"Content-Length: 18446744073709551621", body=b"hello"),
        "9110 8.6", refused(400)),
    Row("Content-Length of 40 digits", post(b"Content-Length: " + b"9" * 40), "9110 8.6",
        refused(400)),
    Row("differing Content-Lengths", post(b"Content-Length: 5", b"Content-Length: 6",
        body=b"hello"), "9112 6.3", refused(400)),
    Row("equal Content-Lengths", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
        "9110 8.6 MAY reject; nobody honest sends two", refused(400)),
    Row("list of equal Content-Lengths", post(b"Content-Length: 5, 5", body=b"hello"),
        "9110 8.6 MAY reject", refused(400)),
    Row("list of differing Content-Lengths", post(b"Content-Length: 5, 6", body=b"hello"),
        "9112 6.3", refused(400)),
    Row("space before the colon of Content-Length", post(b"Content-Length : 5", body=b"hello"),
        "9112 5.1", refused(400)),
    Row("NUL behind Content-Length", post(b"Content-Length: 5\0", body=b"hello"), "9110 5.5",
        refused(400)),
    Row("Content-Length, then Transfer-Encoding",
        post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "9112 6.1 ought to be handled as an error", refused(400)),
    Row("Transfer-Encoding, then Content-Length",
        post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        "9112 6.1", refused(400)),
    Row("a request smuggled behind both",
        post(b"Content-Length: 40", b"Transfer-Encoding: chunked",
             body=b"0\r\n\r\n" + get(b"/smuggled")), "9112 11.2", refused(400)),
    Row("Transfer-Encoding in other letters",
        post(b"transfer-ENCODING: Chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), "9112 7",
        forwarded(chunked(b"POST /p", body=b"hello"))),
    Row("unknown coding", post(b"Transfer-Encoding: gzip"), "9112 6.3 rule 4 MUST be 400",
        refused(400)),
    Row("coding that RFC 7230 removed", post(b"Transfer-Encoding: identity"),
        "9112 6.3 rule 4 MUST be 400",
        refused(400)),
    Row("unknown coding before chunked",
        post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), "9112 6.1", refused(501)),
    Row("coding that ends like chunked", post(b"Transfer-Encoding: xchunked"),
        "9112 6.3 rule 4 MUST be 400",
        refused(400)),
    Row("chunked is not last", post(b"Transfer-Encoding: chunked, gzip"), "9112 6.3",
        refused(400)),
    Row("chunked twice", post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
        "9112 6.1 MUST NOT apply it twice", refused(400)),
    Row("chunked on two lines",
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "9112 6.1", refused(400)),
    Row("chunked and another on two lines",
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"),
        "9112 6.3", refused(400)),
    Row("chunked with a parameter", post(b"Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n"),
        "9112 7 chunked has none", refused((400, 501))),
    Row("chunked in quotes", post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), "9112 7",
        refused((400, 501))),
    Row("chunked with a comma behind", post(b"Transfer-Encoding: chunked,", body=b"0\r\n\r\n"),
        "9110 5.6.1.2; a sender MUST NOT", refused((400, 501))),
    Row("vertical tab before chunked", post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
        "9110 5.5", refused(400)),
    Row("empty Transfer-Encoding", post(b"Transfer-Encoding:"), "9112 6.1", refused(400)),
    Row("space before the colon of Transfer-Encoding",
        post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), "9112 5.1", refused(400)),
    Row("folded Transfer-Encoding", post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"),
        "9112 5.2", refused(400)),
    Row("Transfer-Encoding in HTTP/1.0",
        b"POST /p HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "9112 6.1 MUST treat as faulty", refused(400)),
    Row("Transfer-Encoding for one hop only",
        post(b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked",
             body=b"5\r\nhello\r\n0\r\n\r\n"),
        "9110 7.6.1 it is hop-by-hop anyway; framing is decided before fields are removed",
        Verdict("either", (400,), (chunked(b"POST /p", body=b"hello"),))),
]

CHUNKED = [
    Row("one chunk", chunks(b"5\r\nhello\r\n0\r\n\r\n"), "9112 7.1",
        forwarded(chunked(b"POST /p", body=b"hello"))),
    Row("no chunk", chunks(b"0\r\n\r\n"), "9112 7.1", forwarded(chunked(b"POST /p"))),
    Row("several chunks", chunks(b"1\r\nh\r\n3\r\nell\r\n1\r\no\r\n0\r\n\r\n"), "9112 7.1",
        forwarded(chunked(b"POST /p", body=b"hello"))),
    Row("size in capital hex", chunks(b"A\r\n0123456789\r\n0\r\n\r\n"), "9112 7.1",
        forwarded(chunked(b"POST /p", body=b"0123456789"))),
    Row("size in small hex", chunks(b"a\r\n0123456789\r\n0\r\n\r\n"), "9112 7.1",
        forwarded(chunked(b"POST /p", body=b"0123456789"))),
    Row("size with zeros", chunks(b"0005\r\nhello\r\n0\r\n\r\n"), "9112 7.1 1*HEXDIG",
        forwarded(chunked(b"POST /p", body=b"hello"))),
    Row("last chunk of several zeros", chunks(b"5\r\nhello\r\n000\r\n\r\n"), "9112 7.1",
        forwarded(chunked(b"POST /p", body=b"hello"))),
    Row("extension", chunks(b"5;a=b\r\nhello\r\n0;z\r\n\r\n"), "9112 7.1.1 ignored",
        forwarded(chunked(b"POST /p", body=b"hello"))),
    Row("quoted extension", chunks(b'5;a="q;\\"x"\r\nhello\r\n0\r\n\r\n'), "9112 7.1.1",
        forwarded(chunked(b"POST /p", body=b"hello"))),
    Row("CRLF in a chunk is data", chunks(b"7\r\na\r\n0\r\n\r\r\n0\r\n\r\n"), "9112 7.1",
        forwarded(chunked(b"POST /p", body=b"a\r\n0\r\n\r"))),
    Row("endless extension", chunks(b"5;" + b"a" * 40000 + b"\r\nhello\r\n0\r\n\r\n"),
        "9112 7.1.1 ought to limit their length", cut()),
    Row("line end inside a quoted extension", chunks(b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n'),
        "9112 7.1.1", cut()),
    Row("bare LF inside an extension", chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n"), "9112 7.1.1",
        cut()),
    Row("size with 0x", chunks(b"0x5\r\nhello\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("size with a plus", chunks(b"+5\r\nhello\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("negative size", chunks(b"-5\r\nhello\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("no size", chunks(b"\r\nhello\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("only an extension", chunks(b";a=b\r\nhello\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("no hex digit", chunks(b"g\r\nhello\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("rubbish behind the size", chunks(b"5g\r\nhello\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("space before the size", chunks(b" 5\r\nhello\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("space behind the size", chunks(b"5 \r\nhello\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("size of 2^63", chunks(b"8000000000000000\r\nhello"), "9112 7.1 MUST prevent overflow",
        cut()),
    Row("size of 2^64 + 5", chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), "9112 7.1",
        cut()),
    Row("size of 200 digits", chunks(b"0" * 199 + b"5\r\nhello\r\n0\r\n\r\n"),
        "9112 7.1; no sender pads like this", cut()),
    Row("size line ends with LF", chunks(b"5\nhello\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("size line ends with CR", chunks(b"5\rhello\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("chunk is longer than its size", chunks(b"5\r\nhelloX\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("chunk is shorter than its size", chunks(b"5\r\nhell\r\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("chunk ends with LF", chunks(b"5\r\nhello\n0\r\n\r\n"), "9112 7.1", cut()),
    Row("chunk ends with CR", chunks(b"5\r\nhello\r0\r\n\r\n"), "9112 7.1", cut()),
    Row("body ends with LF", chunks(b"5\r\nhello\r\n0\r\n\n"), "9112 7.1", cut()),
    Row("trailer", chunks(b"5\r\nhello\r\n0\r\nX-T:  1 \r\n\r\n", b"Trailer: X-T"), "9110 6.5",
        forwarded(chunked(b"POST /p", b"Trailer: X-T", body=b"hello",
                          trailers=b"X-T: 1\r\n"))),
    Row("trailers that may not be trailers",
        chunks(b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nX-T: 1\r\nHost: b.test\r\n"
               b"Transfer-Encoding: chunked\r\nAuthorization: x\r\n\r\n"),
        "9110 6.5.1 framing, routing and credentials",
        forwarded(chunked(b"POST /p", body=b"hello", trailers=b"X-T: 1\r\n"))),
    Row("trailers that forge where the client is",
        chunks(b"0\r\nX-Forwarded-For: 10.9.9.9\r\nConnection: x\r\n\r\n"),
        "9110 6.5.1; dropped from the head, so from here", forwarded(chunked(b"POST /p"))),
    Row("space before a trailer's colon", chunks(b"0\r\nX-T : 1\r\n\r\n"), "9112 5.1", cut()),
    Row("folded trailer", chunks(b"0\r\nX-T: 1\r\n 2\r\n\r\n"), "9112 5.2", cut()),
    Row("trailer ends with LF", chunks(b"0\r\nX-T: 1\n\r\n"), "9112 2.2", cut()),
    Row("NUL in a trailer", chunks(b"0\r\nX-T: \0\r\n\r\n"), "9110 5.5", cut()),
    Row("trailer without a colon", chunks(b"0\r\nX-T\r\n\r\n"), "9112 5", cut()),
    Row("request smuggled as a trailer",
        chunks(b"0\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"), "9112 11.2", cut()),
]

HOPS = [
    Row("Connection and what it lists", get(b"/", b"X-A: 1", b"Connection: X-A", b"X-B: 2"),
        "9110 7.6.1", forwarded(sent(b"GET /", b"X-B: 2"))),
    Row("a list on two lines",
        get(b"/", b"Connection: x-a ,X-B", b"X-A: 1", b"Connection: X-C", b"X-B: 2", b"X-C: 3",
            b"X-D: 4"),
        "9110 7.6.1", forwarded(sent(b"GET /", b"X-D: 4"))),
    Row("close", get(b"/", b"Connection: close"), "9112 9.6",
        forwarded(sent(b"GET /"), closes=True)),
    Row("close in other letters, among others", get(b"/", b"Connection: foo, CLOSE"),
        "9112 9.6", forwarded(sent(b"GET /"), closes=True)),
    Row("Keep-Alive", get(b"/", b"Connection: keep-alive", b"Keep-Alive: timeout=5"),
        "9110 7.6.1", forwarded(sent(b"GET /"))),
    Row("Keep-Alive that is not listed", get(b"/", b"Keep-Alive: timeout=5"), "9110 7.6.1",
        forwarded(sent(b"GET /"))),
    Row("Proxy-Connection", get(b"/", b"Proxy-Connection: keep-alive"), "9110 7.6.1",
        forwarded(sent(b"GET /"))),
    Row("Proxy-Authorization", get(b"/", b"Proxy-Authorization: Basic eA=="),
        "9110 11.7.2 for the first proxy that asks", forwarded(sent(b"GET /"))),
    Row("TE: trailers is kept", get(b"/", b"TE: trailers", b"Connection: TE"), "9110 10.1.4",
        forwarded(sent(b"GET /", framing=b"Connection: TE\r\nTE: trailers"))),
    Row("TE loses its codings", get(b"/", b"TE: gzip;q=0.5, trailers", b"Connection: TE"),
        "9110 10.1.4", forwarded(sent(b"GET /", framing=b"Connection: TE\r\nTE: trailers"))),
    Row("TE of codings only", get(b"/", b"TE: gzip", b"Connection: TE"), "9110 10.1.4",
        forwarded(sent(b"GET /"))),
    Row("Upgrade to WebSocket",
        get(b"/", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        "9110 7.8 a server MAY ignore it",
        forwarded(sent(b"GET /", b"Sec-WebSocket-Version: 13"))),
    Row("Upgrade to h2c",
        get(b"/", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABk"), "9113 3.1; must never pass a proxy",
        forwarded(sent(b"GET /"))),
    Row("Trailer without chunked", get(b"/", b"Trailer: X-T"), "9110 6.6.2",
        forwarded(sent(b"GET /"))),
    Row("Connection lists Host", get(b"/", b"Connection: Host"),
        "9110 7.6.1 MUST NOT list what is for all recipients", refused(400)),
    Row("Connection lists Content-Length",
        post(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"), "9110 7.6.1",
        refused(400)),
    Row("Connection lists Authorization",
        get(b"/", b"Authorization: x", b"Connection: close, authorization"), "9110 7.6.1",
        refused(400)),
    Row("Connection lists Cookie", get(b"/", b"Cookie: a=b", b"Connection: Cookie"),
        "9110 7.6.1", refused(400)),
    Row("Connection lists Content-Type", get(b"/", b"Connection: content-type"), "9110 7.6.1",
        refused(400)),
    Row("Connection lists Cache-Control", get(b"/", b"Connection: Cache-Control"),
        "9110 7.6.1 names it", refused(400)),
    Row("Connection lists X-Forwarded-For", get(b"/", b"Connection: X-Forwarded-For"),
        "9110 7.6.1; would take away what we add", refused(400)),
    Row("Via of the client stays", get(b"/", b"Via: 1.0 fred", b"X-A: 1"), "9110 7.6.3",
        forwarded(sent(b"GET /", b"Via: 1.0 fred", b"X-A: 1"))),
]

FORWARDING = [
    Row("forged X-Forwarded-For",
        get(b"/", b"x-FORWARDED-for: 10.9.9.9", b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: b.test", b"X-Forwarded-Port: 1"),
        "7239 8.1 only from proxies that are trusted", forwarded(sent(b"GET /"))),
    Row("forged Forwarded", get(b"/", b"Forwarded: for=10.9.9.9;proto=https"), "7239 8.1",
        forwarded(sent(b"GET /"))),
    Row("forged X-Real-IP", get(b"/", b"X-Real-IP: 10.9.9.9"), "7239 8.1",
        forwarded(sent(b"GET /"))),
    Row("forged X-Request-Id", get(b"/", b"X-Request-Id: mine"), "ours to give",
        forwarded(sent(b"GET /"))),
    Row("forged Client-Cert",
        get(b"/", b"client-CERT: :AAAA:", b"Client-Cert-Chain: :AAAA:", b"Client_Cert: :AAAA:"),
        "9440 3.1", forwarded(sent(b"GET /"))),
    Row("Client-Cert of a trusted peer",
        get(b"/", b"Client-Cert: :AAAA:", b"Client-Cert-Chain: :AAAA:"),
        "9440 2.4; only what was proved to us", forwarded(sent(b"GET /")), trusted=True),
    Row("Connection lists Client-Cert", get(b"/", b"Connection: client-cert"), "9440 3.1",
        refused(400)),
    Row("trusted X-Forwarded-For",
        get(b"/", b"X-Forwarded-For: 10.9.9.9", b"X-A: 1"), "7239 5.2 appended to",
        forwarded(sent(b"GET /", b"X-A: 1", added=(
            b"X-Forwarded-For: 10.9.9.9, 127.0.0.1", *ours()[1:]))), trusted=True),
    Row("trusted X-Forwarded-For on two lines",
        get(b"/", b"X-Forwarded-For: 10.9.9.9", b"X-Forwarded-For: 10.8.8.8"), "9110 5.3",
        forwarded(sent(b"GET /", added=(
            b"X-Forwarded-For: 10.9.9.9, 10.8.8.8, 127.0.0.1", *ours()[1:]))), trusted=True),
    Row("trusted X-Forwarded-Proto and -Host",
        get(b"/", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: b.test"), "7239 5.3, 5.4",
        forwarded(sent(b"GET /", added=(
            b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: b.test", *ours()[3:]))), trusted=True),
    Row("trusted X-Request-Id", get(b"/", b"X-Request-Id: a-B_9.+/=@:z"), "kept as sent",
        forwarded(sent(b"GET /", added=(
            *ours()[:3], b"X-Request-Id: a-B_9.+/=@:z", ours()[4]))), trusted=True),
    Row("trusted X-Request-Id of 128", get(b"/", b"X-Request-Id: " + b"x" * 128), "longest",
        forwarded(sent(b"GET /", added=(
            *ours()[:3], b"X-Request-Id: " + b"x" * 128, ours()[4]))), trusted=True),
    Row("trusted X-Request-Id too long", get(b"/", b"X-Request-Id: " + b"x" * 129),
        "replaced: it goes into every log line", forwarded(sent(b"GET /")), trusted=True),
    Row("trusted X-Request-Id with other characters", get(b"/", b'X-Request-Id: a"b'),
        "replaced", forwarded(sent(b"GET /")), trusted=True),
    Row("trust does not soften the syntax", get(b"/", b"X-Forwarded-For : 10.9.9.9"), "9112 5.1",
        refused(400), trusted=True),
]

HTTP10 = [
    Row("HTTP/1.0", b"GET / HTTP/1.0\r\n" + H + b"\r\n", "9112 9.3",
        forwarded(sent(b"GET /", via=b"1.0"), closes=True)),
    Row("HTTP/1.0 that asks to stay", b"GET / HTTP/1.0\r\n" + H + b"Connection: Keep-Alive\r\n\r\n",
        "9112 9.3", forwarded(sent(b"GET /", via=b"1.0"))),
    Row("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n",
        "9112 3.2; there is no name to forward", refused(400)),
    Row("HTTP/1.0 with the name in the target", b"GET http://a.test/x HTTP/1.0\r\n\r\n",
        "9112 3.2.2", forwarded(sent(b"GET /x", via=b"1.0"), closes=True)),
    Row("HTTP/1.0 with a body",
        b"POST /p HTTP/1.0\r\n" + H + b"Content-Length: 5\r\n\r\nhello", "9112 6.2",
        forwarded(sent(b"POST /p", framing=b"Content-Length: 5", body=b"hello", via=b"1.0"),
                  closes=True)),
    Row("names that CGI takes for others",
        get(b"/", b"X_Forwarded_For: z", b"content_length: 5", b"X_Own: 1", b"Transfer-Encoding_: a"),
        "3875 4.1.18", forwarded(sent(b"GET /", b"X_Own: 1", b"Transfer-Encoding_: a"))),
    Row("further claims of who forwarded", get(b"/", b"X-Forwarded-Prefix: /admin",
                                               b"X-Forwarded-Server: s", b"X-Forwarded-: 1"),
        "7239 8.1", forwarded(sent(b"GET /", b"X-Forwarded-: 1"))),
    Row("further claims of a trusted peer", get(b"/", b"X-Forwarded-Prefix: /admin"), "7239 8.1",
        forwarded(sent(b"GET /", b"X-Forwarded-Prefix: /admin")), trusted=True),
    Row("HTTP/1.0 POST without a length", b"POST /p HTTP/1.0\r\n" + H + b"\r\n",
        "1945 8.3, 9110 15.5.12", refused(411)),
    Row("OPTIONS with no hop left", b"OPTIONS / HTTP/1.1\r\n" + H + b"Max-Forwards: 0\r\n\r\n",
        "9110 7.6.2", answered(200)),
    Row("OPTIONS with hops left", b"OPTIONS / HTTP/1.1\r\n" + H + b"Max-Forwards: 10\r\n\r\n",
        "9110 7.6.2", forwarded(sent(b"OPTIONS /", b"Max-Forwards: 9"))),
    Row("TRACE with no hop left", b"TRACE / HTTP/1.1\r\n" + H + b"Max-Forwards: 0\r\n\r\n",
        "9110 7.6.2", answered(501)),
    Row("Max-Forwards counts for these two only", get(b"/", b"Max-Forwards: 0"), "9110 7.6.2",
        forwarded(sent(b"GET /", b"Max-Forwards: 0"))),
    Row("HTTP/1.0 that expects 100",
        b"POST /p HTTP/1.0\r\n" + H + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "9110 10.1.1 MUST ignore it",
        forwarded(sent(b"POST /p", framing=b"Content-Length: 5", body=b"hello", via=b"1.0"),
                  closes=True)),
]

EXPECT = [
    Row("100-continue with the body at once",
        post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), "9110 10.1.1",
        forwarded(length(b"POST /p", b"hello", b"Expect: 100-continue"))),
    Row("100-continue in other letters",
        post(b"Expect: 100-Continue", b"Content-Length: 5", body=b"hello"),
        "9110 10.1.1 case-insensitive",
        forwarded(length(b"POST /p", b"hello", b"Expect: 100-Continue"))),
    Row("another expectation", get(b"/", b"Expect: the-moon"), "9110 10.1.1",
        Verdict("refused-any", (417,))),
]

PIPELINES = [
    Row("two requests", get(b"/1") + get(b"/2"), "9112 9.3.2",
        forwarded(sent(b"GET /1"), sent(b"GET /2"))),
    Row("body, then request", post(b"Content-Length: 5", body=b"hello") + get(b"/2"),
        "9112 9.3.2", forwarded(length(b"POST /p", b"hello"), sent(b"GET /2"))),
    Row("chunks, then request", chunks(b"5\r\nhello\r\n0\r\n\r\n") + get(b"/2"),
        "9112 9.3.2", forwarded(chunked(b"POST /p", body=b"hello"), sent(b"GET /2"))),
    Row("empty line between requests",
        post(b"Content-Length: 5", body=b"hello") + b"\r\n" + get(b"/2"),
        "9112 2.2 old clients end a body so",
        forwarded(length(b"POST /p", b"hello"), sent(b"GET /2"))),
    Row("what looks like a request in a body is body",
        post(b"Content-Length: %d" % len(get(b"/no")), body=get(b"/no")), "9112 6.2",
        forwarded(length(b"POST /p", get(b"/no")))),
    Row("nothing is read behind close", get(b"/1", b"Connection: close") + get(b"/2"),
        "9112 9.6", forwarded(sent(b"GET /1"), closes=True)),
    Row("good, then bad", get(b"/1") + b"bad\r\n\r\n", "9112 9.3.2 the first is answered",
        Verdict("then-refused", (400,), (sent(b"GET /1"),))),
]

LIMITS = [
    Row("request line over 8 KiB", get(b"/" + b"a" * 9000), "9110 15.5.15", refused(414)),
    Row("request line near 8 KiB", get(b"/" + b"a" * 8000), "9112 3 SHOULD support 8000",
        forwarded(sent(b"GET /" + b"a" * 8000))),
    Row("head over 32 KiB", get(b"/", *[b"X-%d: " % n + b"v" * 3000 for n in range(12)]),
        "6585 5", refused(431)),
    Row("one field over 32 KiB", get(b"/", b"X-A: " + b"v" * 40000), "6585 5", refused(431)),
    Row("100 fields", get(b"/", *[b"X: %d" % n for n in range(99)]), "9110 5.4",
        forwarded(sent(b"GET /", *[b"X: %d" % n for n in range(99)]))),
    Row("101 fields", get(b"/", *[b"X: %d" % n for n in range(100)]), "6585 5", refused(431)),
]

ROWS = (REQUEST_LINE + TARGET + HOST + FIELDS + FRAMING + CHUNKED + HOPS + FORWARDING + HTTP10 +
        EXPECT + PIPELINES + LIMITS)

"""HTTP/1.1 messages read off a socket, byte for byte.

This reader is the judge of what Ringway writes, so it shares nothing with it and forgives
nothing: whatever is not framed exactly as RFC 9112 says raises WireError and fails the test.
"""

import re
import socket
import time
from dataclasses import dataclass, field

READ_SIZE = 256 * 1024
# No message of these tests has a head near this; a runaway head is a bug to show, not to store.
HEAD_LIMIT = 256 * 1024


class WireError(AssertionError):
    """The peer wrote something that is not HTTP/1.1."""


class Closed(WireError):
    """The peer ended the connection in the middle of a message."""


class Buffered:
    """A socket with what was received and not yet consumed, and a log of all of it."""

    def __init__(self, sock, keep_log=True):
        self.sock = sock
        self.waiting = bytearray()
        self.log = bytearray() if keep_log else None

    def fill(self, deadline):
        """Receives once. False at the end of the stream."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"nothing more after {bytes(self.waiting[-200:])!r}")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(READ_SIZE)
        except socket.timeout:
            raise TimeoutError(f"nothing more after {bytes(self.waiting[-200:])!r}") from None
        self.waiting += data
        if self.log is not None:
            self.log += data
        return bool(data)

    def take(self, count, deadline):
        while len(self.waiting) < count:
            if not self.fill(deadline):
                raise Closed(f"closed {count - len(self.waiting)} bytes early")
        data = bytes(self.waiting[:count])
        del self.waiting[:count]
        return data

    def take_until(self, mark, deadline, limit=HEAD_LIMIT):
        """Bytes up to and with `mark`; None when the stream ended before the first byte."""
        start = 0
        while True:
            at = self.waiting.find(mark, start)
            if at >= 0:
                return self.take(at + len(mark), deadline)
            if len(self.waiting) > limit:
                raise WireError(f"no {mark!r} within {limit} bytes")
            start = max(0, len(self.waiting) - len(mark) + 1)
            if not self.fill(deadline):
                if not self.waiting:
                    return None
                raise Closed(f"closed inside {bytes(self.waiting[-200:])!r}")

    def take_all(self, deadline):
        while self.fill(deadline):
            pass
        data = bytes(self.waiting)
        self.waiting.clear()
        return data


@dataclass
class Message:
    """A whole message. `head` is what was on the wire, with its empty line."""

    head: bytes
    body: bytes = b""
    trailers: bytes = b""
    framing: str = "none"      # none | length | chunked | close
    chunk_sizes: list = field(default_factory=list)

    @property
    def start_line(self):
        return self.head.split(b"\r\n", 1)[0]

    @property
    def fields(self):
        lines = self.head.split(b"\r\n")[1:-2]
        return [tuple(part.strip(b" \t") for part in line.split(b":", 1)) for line in lines]

    def values(self, name):
        name = name.lower().encode() if isinstance(name, str) else name.lower()
        return [value for key, value in self.fields if key.lower() == name]

    def value(self, name):
        """The value of a field that must not be repeated; None when it is absent."""
        values = self.values(name)
        if len(values) > 1:
            raise WireError(f"{name} is repeated: {self.head!r}")
        return values[0] if values else None


@dataclass
class Request(Message):
    @property
    def method(self):
        return self.start_line.split(b" ")[0]

    @property
    def target(self):
        return self.start_line.split(b" ")[1]


@dataclass
class Response(Message):
    interim: list = field(default_factory=list)   # heads of the 1xx answers before this one

    @property
    def status(self):
        return int(self.start_line.split(b" ")[1])


def check_head(head, first_line):
    """Every line of a head that Ringway writes is plain: name, colon, one space, value."""
    lines = head[:-4].split(b"\r\n")
    if not re.fullmatch(first_line, lines[0]):
        raise WireError(f"bad first line {lines[0]!r}")
    for line in lines[1:]:
        if not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[\t\x20-\x7e\x80-\xff]*", line):
            raise WireError(f"bad field line {line!r} in {head!r}")


def read_chunked(stream, deadline, message):
    """RFC 9112 section 7.1, without extensions: Ringway drops them and must add none."""
    while True:
        line = stream.take_until(b"\r\n", deadline, 64)
        if line is None:
            raise Closed("closed between chunks")
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}\r\n", line):
            raise WireError(f"bad chunk line {line!r}")
        size = int(line, 16)
        if size == 0:
            break
        message.body += stream.take(size, deadline)
        message.chunk_sizes.append(size)
        if stream.take(2, deadline) != b"\r\n":
            raise WireError("chunk without CRLF at its end")
    while True:
        line = stream.take_until(b"\r\n", deadline)
        if line is None:
            raise Closed("closed inside trailers")
        if line == b"\r\n":
            return
        message.trailers += line


def coded_chunked(message):
    codings = message.values("Transfer-Encoding")
    if not codings:
        return False
    if codings != [b"chunked"]:
        raise WireError(f"Transfer-Encoding is {codings!r}")
    if message.values("Content-Length"):
        raise WireError(f"two framings: {message.head!r}")
    return True


def declared_length(message):
    length = message.value("Content-Length")
    if length is None:
        return None
    if not re.fullmatch(rb"0|[1-9][0-9]*", length):
        raise WireError(f"Content-Length is {length!r}")
    return int(length)


def read_request(stream, deadline):
    """The next request, or None when the stream ended cleanly before it."""
    head = stream.take_until(b"\r\n\r\n", deadline)
    if head is None:
        return None
    check_head(head, rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e]+ HTTP/1\.1")
    request = Request(head)
    read_request_body(stream, deadline, request)
    return request


def read_request_body(stream, deadline, request):
    if coded_chunked(request):
        request.framing = "chunked"
        read_chunked(stream, deadline, request)
        return
    length = declared_length(request)
    if length is not None:
        request.framing = "length"
        request.body = stream.take(length, deadline)


def read_response_head(stream, deadline):
    """Head of the next response that is not interim; None at a clean end."""
    interim = []
    while True:
        head = stream.take_until(b"\r\n\r\n", deadline)
        if head is None:
            if interim:
                raise Closed(f"closed after {interim!r}")
            return None
        check_head(head, rb"HTTP/1\.1 [0-9]{3} [\t\x20-\x7e\x80-\xff]*")
        response = Response(head, interim=interim)
        if response.status >= 200:
            return response
        if response.values("Content-Length") or response.values("Transfer-Encoding"):
            raise WireError(f"interim answer with framing: {head!r}")
        interim.append(head)


def read_response(stream, deadline, method="GET"):
    """The next whole response, or None when the stream ended cleanly before it."""
    response = read_response_head(stream, deadline)
    if response is None:
        return None
    if method == "HEAD" or response.status in (204, 304):
        return response
    if coded_chunked(response):
        response.framing = "chunked"
        read_chunked(stream, deadline, response)
        return response
    length = declared_length(response)
    if length is not None:
        response.framing = "length"
        response.body = stream.take(length, deadline)
        return response
    response.framing = "close"
    response.body = stream.take_all(deadline)
    return response

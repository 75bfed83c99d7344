"""An origin that is a Python function per connection: reads what comes, writes raw bytes.

    def dies_in_the_body(conn):
        conn.request()
        conn.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nhalf")
        conn.reset()

    with Origin(dies_in_the_body) as origin: ...

Whatever Ringway sends is read by the strict reader of wire.py; what that finds wrong is kept in
`failures` and fails the test when the origin ends.
"""

import socket
import struct
import threading
import time

from . import wire
from .process import patience

# A script that waits for a request longer than this has lost its test.
SCRIPT_S = 30.0
OK = (b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
      b"Content-Length: 2\r\n\r\nok")


class OriginConn:
    """One accepted connection: what came, whole requests of it, and how to answer."""

    def __init__(self, origin, number, sock):
        self.origin = origin
        self.number = number
        self.sock = sock
        self.stream = wire.Buffered(sock, origin.keep_log)
        self.requests = []
        self._whole = 0             # bytes up to the end of the last whole request
        self.ended = threading.Event()
        self.closed_by_peer = False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def received(self):
        return bytes(self.stream.log)

    @property
    def partial(self):
        """How many bytes came of a request that is not whole."""
        return len(self.stream.log) - self._whole

    def _deadline(self, timeout_s):
        return time.monotonic() + patience(timeout_s)

    def request(self, timeout_s=SCRIPT_S):
        """The next whole request; None when Ringway closed the connection before it."""
        request = wire.read_request(self.stream, self._deadline(timeout_s))
        if request is None:
            self.closed_by_peer = True
        else:
            self._note(request)
        return request

    def head(self, timeout_s=SCRIPT_S):
        """Only the head of the next request; body() reads on."""
        head = self.stream.take_until(b"\r\n\r\n", self._deadline(timeout_s))
        if head is None:
            self.closed_by_peer = True
            return None
        return wire.Request(head)

    def body(self, request, timeout_s=SCRIPT_S):
        wire.read_request_body(self.stream, self._deadline(timeout_s), request)
        self._note(request)
        return request

    def _note(self, request):
        request.conn = self.number
        if self.stream.log is not None:
            self._whole = len(self.stream.log) - len(self.stream.waiting)
        self.requests.append(request)
        with self.origin.news:
            self.origin.requests.append(request)
            self.origin.news.notify_all()

    def send(self, data, timeout_s=SCRIPT_S):
        self.sock.settimeout(patience(timeout_s))
        self.sock.sendall(data)

    def peer_closes(self, timeout_s=SCRIPT_S):
        """Waits for the end of the connection, dropping what still comes."""
        try:
            self.stream.take_all(self._deadline(timeout_s))
        except ConnectionResetError:
            pass
        self.closed_by_peer = True

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def answers_ok(conn):
    """Reads strict requests for as long as Ringway keeps the connection, answers each with OK."""
    while conn.request():
        conn.send(OK)


def by_path(scripts, otherwise=None):
    """A connection script that picks what to do by the path of each request.

    A script takes (conn, request) and returns True to go on with the connection; paths that
    are not named get `otherwise`, which answers OK when not given."""
    def run(conn):
        while True:
            request = conn.request()
            if request is None:
                return
            path = request.target.split(b"?")[0].decode()
            script = scripts.get(path, otherwise)
            if script is None:
                conn.send(OK)
            elif not script(conn, request):
                return
    return run


class Origin:
    def __init__(self, script=answers_ok, port=0, keep_log=True):
        self.script = script
        self.keep_log = keep_log
        self.requests = []          # all whole requests, in the order of their last byte
        self.conns = []
        self.failures = []
        self.news = threading.Condition()
        self._threads = []
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(4096)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._stopping = False
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None:
            self.check()

    def check(self):
        assert not self.failures, "the origin was sent broken requests: " + "; ".join(self.failures)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._stopping:
                sock.close()
                return
            with self.news:
                conn = OriginConn(self, len(self.conns), sock)
                self.conns.append(conn)
                self.news.notify_all()
            thread = threading.Thread(target=self._serve, args=(conn,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, conn):
        try:
            self.script(conn)
        except wire.Closed:
            conn.closed_by_peer = True
        except wire.WireError as error:
            self.failures.append(str(error))
        except (ConnectionError, TimeoutError, OSError):
            conn.closed_by_peer = True
        except Exception as error:  # a mistake in a test's script must not pass in silence
            self.failures.append(f"script failed: {error!r}")
        finally:
            conn.close()
            conn.ended.set()
            with self.news:
                self.news.notify_all()

    def wait_for(self, predicate, timeout_s=5.0):
        """Waits until predicate() holds; it is tried again at every connection and request."""
        with self.news:
            assert self.news.wait_for(predicate, patience(timeout_s)), "the origin waited in vain"

    def wait_requests(self, count, timeout_s=5.0):
        self.wait_for(lambda: len(self.requests) >= count, timeout_s)

    def stop(self):
        """Ends the listener (new connects are refused) and every connection."""
        self.refuse()
        for conn in list(self.conns):
            try:
                conn.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(patience(2.0))

    def refuse(self):
        """Ends only the listener; connections go on."""
        if self._stopping:
            return
        self._stopping = True
        # close() alone leaves accept() sleeping on the old descriptor.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(patience(2.0))
        self._listener.close()

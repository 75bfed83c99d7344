"""A client that sends exactly the bytes it is told, in the pieces it is told."""

import socket
import struct
import time

from . import wire
from .process import patience

# Answers on loopback come within milliseconds; this only bounds how long a failure takes.
ANSWER_S = 5.0


class RawClient:
    def __init__(self, port, host="127.0.0.1", receive_buffer=None, keep_log=True):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(patience(ANSWER_S))
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = wire.Buffered(self.sock, keep_log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        """Sends all of it. A peer that has already closed is no error: its answer is read next."""
        self.sock.settimeout(patience(ANSWER_S))
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def send_pieces(self, data, size=1, pause_s=0.0):
        for at in range(0, len(data), size):
            self.send(data[at:at + size])
            if pause_s:
                time.sleep(pause_s)
        return self

    def response(self, method="GET", timeout_s=ANSWER_S):
        """The next response, read strictly; None when the connection ended cleanly before it."""
        return wire.read_response(self.stream, time.monotonic() + patience(timeout_s), method)

    def response_head(self, timeout_s=ANSWER_S):
        return wire.read_response_head(self.stream, time.monotonic() + patience(timeout_s))

    def get(self, path="/", host="a.test", extra=b"", timeout_s=ANSWER_S):
        self.send(b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" %
                  (path.encode(), host.encode(), extra))
        return self.response(timeout_s=timeout_s)

    def rest(self, timeout_s=ANSWER_S):
        """All bytes up to the end of the stream; a reset counts as an end."""
        try:
            return self.stream.take_all(time.monotonic() + patience(timeout_s))
        except ConnectionResetError:
            data = bytes(self.stream.waiting)
            self.stream.waiting.clear()
            return data

    def ends(self, timeout_s=ANSWER_S):
        """True when the peer closes without another byte, False when it stays or talks."""
        try:
            return self.rest(timeout_s) == b""
        except TimeoutError:
            return False

    def stays_open(self, for_s=0.1):
        """True when nothing comes and nothing ends for a while."""
        if self.stream.waiting:
            return False
        self.sock.settimeout(for_s)
        try:
            self.stream.waiting += self.sock.recv(4096)
        except socket.timeout:
            return True
        except ConnectionResetError:
            return False
        return False

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.sock.close()

"""Random bodies, up to nginx and back."""

import hashlib
import http.client
import os
import random
import threading


class Bodies:
    """Sends bodies of log-uniform size up and gets each back, framed in all four ways."""

    LARGEST = 5 << 20

    def __init__(self, gateway, nginx, count, seed):
        self.gateway, self.nginx, self.count, self.seed = gateway, nginx, count, seed
        self.wrong = []

    def run(self, thread):
        rng = random.Random(self.seed * 1000 + thread)
        conn = self.connect()
        for number in range(self.count):
            size = 0 if rng.random() < 0.02 else int(self.LARGEST ** rng.random())
            body = rng.randbytes(size)
            name = f"{thread}-{number}"
            self._up(conn, name, body, chunked=number % 2 == 1, rng=rng)
            self._down(conn, name, body, chunked=number % 4 >= 2)
            os.unlink(self.nginx.files / name)
        conn.close()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)

    def _up(self, conn, name, body, chunked, rng):
        if chunked:
            step = rng.choice([100, 4096, 16384, 100000]) if len(body) < 100000 else 100000
            pieces = (body[at:at + step] for at in range(0, len(body), step))
            conn.request("PUT", f"/store/{name}", pieces, {"Transfer-Encoding": "chunked"},
                         encode_chunked=True)
        else:
            conn.request("PUT", f"/store/{name}", body, {"Content-Length": str(len(body))})
        answer = conn.getresponse()
        answer.read()
        stored = (self.nginx.files / name).read_bytes() if answer.status == 201 else b""
        if answer.status != 201 or self._sum(stored) != self._sum(body):
            self.wrong.append(("up", name, answer.status, len(stored), len(body)))

    def _down(self, conn, name, body, chunked):
        conn.request("GET", f"/{'chunked' if chunked else 'store'}/{name}")
        answer = conn.getresponse()
        got = answer.read()
        # nginx knows the length of an empty file in any case.
        if (body and chunked != bool(answer.chunked)) or answer.status != 200 \
                or self._sum(got) != self._sum(body):
            self.wrong.append(("down", name, answer.status, len(got), len(body)))

    @staticmethod
    def _sum(data):
        return hashlib.sha256(data).digest()


    def run_threads(self, threads):
        running = [threading.Thread(target=self.run, args=(n,)) for n in range(threads)]
        failed = []
        hook, threading.excepthook = threading.excepthook, failed.append
        try:
            for thread in running:
                thread.start()
            for thread in running:
                thread.join()
        finally:
            threading.excepthook = hook
        assert not failed, [f"{f.exc_type.__name__}: {f.exc_value}" for f in failed]
        assert not self.wrong, self.wrong[:10]

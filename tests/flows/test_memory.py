"""What a request costs in memory calls and kernel threads: nothing, once it runs."""

import re
import struct
import subprocess

import pytest

from harness.process import BINARY, SANITIZER
from harness.ringway import Ringway

COUNTER = BINARY.parent / "tests" / "flows" / "malloc_count.so"
CONNECTIONS = 32


def drive(port, seconds):
    """Requests that wrk made in that time, all of them answered with 200."""
    done = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s",
                           f"http://127.0.0.1:{port}/small"],
                          capture_output=True, text=True, timeout=seconds + 60)
    assert done.returncode == 0, done.stderr
    assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout
    return int(re.search(r"(\d+) requests in", done.stdout)[1])


@pytest.mark.skipif(SANITIZER is not None, reason="the sanitizer's malloc is not ours to count")
def test_a_request_asks_for_no_memory_and_no_kernel_thread(nginx, full, tmp_path):
    counts = tmp_path / "counts"
    counts.write_bytes(bytes(16))

    def read_counts():
        return struct.unpack("QQ", counts.read_bytes())

    service = f"""
        all:
          url: "{nginx.url}"
          routes:
            - {{path: /*}}
    """
    env = {"LD_PRELOAD": str(COUNTER), "RINGWAY_MALLOC_COUNTS": str(counts)}
    with Ringway(service, shards=2, env=env) as gateway:
        drive(gateway.port, 1)
        in_shards, elsewhere = read_counts()
        # Shards set themselves up, on their own thread: the counter does count.
        assert in_shards > 0 and elsewhere > 0
        requests = 0
        while requests < (1_000_000 if full else 100_000):
            requests += drive(gateway.port, 10 if full else 2)
            assert gateway.process.io_workers() == []
        assert read_counts()[0] - in_shards == 0, f"in {requests} requests"
        # Both shards took part, else one of them was not looked at.
        assert all(shard["requests"] > 1000 for shard in gateway.status()["shards"])

"""What `ringway status` says of TLS: each handshake is counted once, under what became of it."""

import contextlib
import re
import time

import pytest

from harness.client import RawClient
from harness.process import SANITIZER, patience
from harness.tls import V12, V13, Tls, ask, connected, context


@pytest.fixture
def gateway(site):
    with Tls([site]) as gateway:
        yield gateway


def settled(gateway, holds):
    deadline = time.monotonic() + patience(5)
    while not holds(status := gateway.status()):
        assert time.monotonic() < deadline, status["tls"]
        time.sleep(0.02)
    return status


def test_handshakes_are_counted_by_what_became_of_them(ca, gateway):
    ctx = context(ca, V13)
    for _ in range(3):
        with connected(gateway.tls_port, ctx) as s:
            ask(s)
            session = s.session
    with connected(gateway.tls_port, ctx, session=session) as s:
        assert s.session_reused
        ask(s)
    for _ in range(2):
        with RawClient(gateway.tls_port) as client:
            client.send(b"\x00" * 64).rest()
    with RawClient(gateway.tls_port) as client:
        client.get("/hello")
    status = settled(gateway, lambda s: sum(s["tls"]["failed"].values()) == 3)
    tls = status["tls"]
    assert (tls["handshakes_full"], tls["handshakes_resumed"]) == (3, 1)
    assert tls["in_progress"] == 0
    assert tls["failed"] == {"tls_garbage": 2, "tls_plain_http": 1}
    assert sum(tls["time_us"].values()) == 4
    assert all(int(bound) >= 64 for bound in tls["time_us"])
    # The sum is that of the shards, in each of its numbers.
    for name in ("handshakes_full", "handshakes_resumed"):
        assert sum(shard["tls"][name] for shard in status["shards"]) == tls[name]
    for group in ("failed", "time_us", "memory"):
        for name, value in tls[group].items():
            assert sum(shard["tls"][group].get(name, 0) for shard in status["shards"]) == value
    words = gateway.admin("status").stdout
    assert "4 handshakes, 1 of them resumed, 0 in progress" in words
    assert "3 failed: " in words and "2 tls_garbage" in words and "1 tls_plain_http" in words


def test_handshakes_in_progress_are_counted_until_they_end(gateway):
    assert gateway.status()["tls"]["in_progress"] == 0
    with RawClient(gateway.tls_port) as client:
        client.send(b"\x16\x03\x01")
        settled(gateway, lambda s: s["tls"]["in_progress"] == 1)
    status = settled(gateway, lambda s: s["tls"]["in_progress"] == 0)
    assert status["tls"]["failed"] == {"tls_client_closed": 1}


def arena_kib(pid):
    """Resident memory of the mappings that core dumps leave out: those of TLS, and the private
    mapping, which is a file."""
    kib = sum_kib = 0
    is_file = False
    for line in open(f"/proc/{pid}/smaps", encoding="ascii"):
        name, *words = line.split()
        if not name.endswith(":"):
            is_file = len(words) > 4
        elif name == "Rss:":
            kib = int(words[0])
        elif name == "VmFlags:" and "dd" in words and not is_file:
            sum_kib += kib
    return sum_kib


def test_memory_of_sessions_that_have_gone_goes_back(ca, gateway):
    held = []
    before = gateway.status()["tls"]["memory"]
    for _ in range(150):
        held.append(connected(gateway.tls_port, context(ca)))
        ask(held[-1].__enter__())
    most, most_kib = gateway.status()["tls"]["memory"], arena_kib(gateway.process.pid)
    assert most["in_use_bytes"] - before["in_use_bytes"] > 150 * 3000
    assert most["held_bytes"] - before["held_bytes"] > 150 * 3000
    assert most_kib > 150 * 3
    for one in held:
        one.__exit__(None, None, None)
    after = settled(gateway, lambda s: s["connections"] == 0)["tls"]["memory"]
    assert after["in_use_bytes"] < most["in_use_bytes"] - 150 * 3000
    assert after["fallbacks"] == before["fallbacks"]
    assert after["held_bytes"] < most["held_bytes"] - 150 * 2500
    # A shard looks once a second which of its spans have stayed empty. The mappings of a
    # sanitizer are left out of core dumps, too.
    if not SANITIZER:
        settled(gateway, lambda _: arena_kib(gateway.process.pid) < most_kib / 2)


@pytest.mark.parametrize("version", [V12, V13])
def test_an_idle_session_costs_what_the_banner_says(ca, gateway, version):
    said = re.search(r"with TLS about ([0-9.]+) KiB more each", gateway.process.stderr)
    ctx = context(ca, version, version)
    with contextlib.ExitStack() as held:
        def memory_with(sessions):
            for _ in range(sessions):
                ask(held.enter_context(connected(gateway.tls_port, ctx)))
            return gateway.status()["tls"]["memory"]["in_use_bytes"]

        # A context keeps something of its first session.
        before = memory_with(1)
        each_kib = (memory_with(100) - before) / 100 / 1024
    assert each_kib == pytest.approx(float(said[1]), rel=0.1)


def test_a_gateway_without_handshakes_does_not_speak_of_them(gateway):
    assert "TLS" not in gateway.admin("status").stdout

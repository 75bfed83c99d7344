"""Tickets: resumed where they may be, a full handshake everywhere else."""

import base64
import time

import pytest

from harness.ringway import Quiet
from harness.tls import (GET, HELLO, V12, V13, Tls, ask, connected, context, get, pairs,
                         s_client)

VERSIONS = pytest.mark.parametrize("version", [V12, V13])


def ticket(port, ctx, name="a.test", path="/hello"):
    """The session of a connection that has answered."""
    with connected(port, ctx, name) as s:
        assert ask(s, path) == (200, b"hello\n")
        return s.session


def resumes(port, ctx, session, name="a.test", path="/hello"):
    with connected(port, ctx, name, session) as s:
        assert ask(s, path) == (200, b"hello\n")
        return s.session_reused


@pytest.fixture(scope="module")
def gateway(site, other_site):
    with Tls([site, other_site], shards=2) as running:
        yield running


@VERSIONS
def test_a_thousand_reconnects_over_two_shards_are_resumed(ca, gateway, version):
    ctx = context(ca, version, version)
    path = f"/hello?thousand-{version}"
    with Quiet(gateway):
        session = ticket(gateway.tls_port, ctx)
        for _ in range(1000):
            assert resumes(gateway.tls_port, ctx, session, path=path)
        gateway.get("/hello?last")
        gateway.record(path="/hello?last")
    records = [r for r in gateway.records() if r["path"] == path]
    # The last one may come a moment later.
    assert len(records) >= 999
    assert all(r["tls"]["resumed"] is True for r in records)
    assert min(sum(r["shard"] == shard for r in records) for shard in (0, 1)) > 300


@VERSIONS
def test_tickets_that_bring_tickets_go_on_for_ever(ca, gateway, version):
    """wolfSSL numbers those of a row with one byte: there is a full handshake now and then."""
    ctx = context(ca, version, version)
    session, full = ticket(gateway.tls_port, ctx), 0
    for _ in range(600):
        with connected(gateway.tls_port, ctx, session=session) as s:
            assert ask(s) == (200, b"hello\n")
            full += not s.session_reused
            session = s.session
    assert full == (2 if version == V13 else 0)


@VERSIONS
def test_a_ticket_outlives_a_reload(ca, site, version):
    ctx = context(ca, version, version)
    with Tls([site], shards=2) as gateway:
        session = ticket(gateway.tls_port, ctx)
        for _ in range(3):
            assert gateway.admin("reload").returncode == 0
            for _ in range(10):
                assert resumes(gateway.tls_port, ctx, session)


@VERSIONS
def test_a_ticket_ends_with_its_certificate(ca, version, tmp_path):
    ctx = context(ca, version, version)
    names = ["a.test"]
    place = ca.issue(f"swapped-{version}", names)
    with Tls([place]) as gateway:
        session = ticket(gateway.tls_port, ctx)
        assert resumes(gateway.tls_port, ctx, session)
        fresh = ca.issue(f"swap-{version}", names)
        place.cert.write_bytes(fresh.cert.read_bytes())
        place.key.write_bytes(fresh.key.read_bytes())
        assert gateway.admin("reload").returncode == 0
        assert not resumes(gateway.tls_port, ctx, session)


@VERSIONS
def test_a_ticket_for_another_certificate_means_a_full_handshake(ca, gateway, version):
    ctx = context(ca, version, version)
    session = ticket(gateway.tls_port, ctx, "a.test")
    assert not resumes(gateway.tls_port, ctx, session, "other.test")
    assert resumes(gateway.tls_port, ctx, session, "a.test")


@VERSIONS
def test_a_ticket_of_another_listener_means_a_full_handshake(ca, site, version):
    ctx = context(ca, version, version)
    with Tls([site], more={"second": f"tls: {{certificates: {pairs([site])}}}"}) as gateway:
        session = ticket(gateway.tls_port, ctx)
        assert not resumes(gateway.ports["second"], ctx, session)
        assert resumes(gateway.tls_port, ctx, session)


@VERSIONS
def test_a_ticket_of_another_process_means_a_full_handshake(ca, site, gateway, version):
    ctx = context(ca, version, version)
    session = ticket(gateway.tls_port, ctx)
    with Tls([site]) as other:
        assert not resumes(other.tls_port, ctx, session)


@VERSIONS
def test_two_rotations_end_a_ticket(ca, site, version):
    """Of 1.2 it is the gateway that refuses: OpenSSL shows such a ticket again however old it
    is. One of 1.3 that is over it does not even show."""
    ctx = context(ca, version, version)
    with Tls([site], tls="tickets: {lifetime: 1s, rotate: 1s}", shards=2) as gateway:
        session = ticket(gateway.tls_port, ctx)
        assert resumes(gateway.tls_port, ctx, session)
        time.sleep(2.2)
        assert not resumes(gateway.tls_port, ctx, session)
        # The next key is as good.
        session = ticket(gateway.tls_port, ctx)
        assert resumes(gateway.tls_port, ctx, session)


@VERSIONS
def test_a_ticket_outlives_one_rotation(ca, site, version):
    ctx = context(ca, version, version)
    with Tls([site], tls="tickets: {lifetime: 2s, rotate: 2s}", shards=2) as gateway:
        # A period begins at the even seconds of the clock: this ticket is made at the end of
        # one, and shown in the next.
        time.sleep(2 - time.time() % 2 - 0.3 if time.time() % 2 < 1.7 else 1.7)
        session = ticket(gateway.tls_port, ctx)
        time.sleep(0.7)
        assert resumes(gateway.tls_port, ctx, session)


@VERSIONS
def test_tickets_off_means_none(ca, site, version):
    ctx = context(ca, version, version)
    with Tls([site], tls='tickets: "off"') as gateway:
        with connected(gateway.tls_port, ctx) as s:
            assert ask(s) == (200, b"hello\n")
            assert s.session is None or not s.session.has_ticket


@VERSIONS
def test_a_ticket_opens_no_listener_that_requires_a_certificate(ca, site, version):
    visitor = ca.issue(f"visitor-{version}", usage="clientAuth")
    ctx = context(ca, version, version)
    strict = f"tls: {{certificates: {pairs([site])}, client_auth: require, client_ca: {ca.cert}}}"
    with Tls([site], more={"strict": strict}) as gateway, Quiet(gateway):
        session = ticket(gateway.tls_port, ctx)
        with pytest.raises(OSError):
            resumes(gateway.ports["strict"], ctx, session)
        gateway.record(cause="tls_no_certificate")
        # With one it is a full handshake, and brings no ticket.
        ctx.load_cert_chain(visitor.cert, visitor.key)
        path = f"/hello?visitor-{version}"
        with connected(gateway.ports["strict"], ctx, session=session) as s:
            assert ask(s, path) == (200, b"hello\n")
            assert not s.session_reused
            assert s.session is None or not s.session.has_ticket
        tls = gateway.record(path=path)["tls"]
        assert tls["resumed"] is False
        assert "visitor" in tls["client_subject"]


def test_early_data_is_refused(ca, gateway, tmp_path):
    kept, early = tmp_path / "session", tmp_path / "early"
    first = s_client(gateway.tls_port, "-tls1_3", "-servername", "a.test", "-sess_out", kept,
                     say=GET, ca=ca)
    assert b"hello\n" in first.stdout
    assert b"Max Early Data: 0" in first.stdout
    early.write_bytes(get("/hello?early"))
    # What openssl has to be told, since the ticket allows none: some amount in the session.
    kept.write_bytes(with_early_data(kept.read_bytes()))
    done = s_client(gateway.tls_port, "-tls1_3", "-servername", "a.test", "-sess_in", kept,
                    "-early_data", early, say=get("/hello?late"), ca=ca)
    assert b"Early data was rejected" in done.stdout, done.stdout
    # A client that offers it in spite of the ticket is not put up with: wolfSSL without 0-RTT
    # does not skip the bytes, and ends the handshake where it cannot read them.
    assert b"alert bad record mac" in done.stderr, done.stderr
    gateway.record(cause="tls_failed")
    assert not [r for r in gateway.records() if r["path"].startswith("/hello?early")]
    # Its next attempt is without, and works.
    done = s_client(gateway.tls_port, "-tls1_3", "-servername", "a.test", "-sess_in", kept,
                    say=get("/hello?late"), ca=ca)
    assert b"Reused, TLSv1.3" in done.stdout and b"\r\n\r\nhello\n" in done.stdout
    assert gateway.record(path="/hello?late")["tls"]["resumed"] is True


def with_early_data(pem):
    """The session with a max_early_data of 16384 (OpenSSL's own ASN.1, tag [15])."""
    body = b"".join(pem.split(b"-----")[2].split())
    der = base64.b64decode(body)
    assert der[:2] == b"\x30\x82"
    content = der[4:]
    # DER is in the order of the tags.
    at = after_tags_below(content, 15)
    content = content[:at] + b"\xaf\x04\x02\x02\x40\x00" + content[at:]
    der = b"\x30\x82" + len(content).to_bytes(2, "big") + content
    return (b"-----BEGIN SSL SESSION PARAMETERS-----\n" + base64.encodebytes(der) +
            b"-----END SSL SESSION PARAMETERS-----\n")


def after_tags_below(content, number):
    at = 0
    while at < len(content):
        tag = content[at]
        if tag & 0xe0 == 0xa0 and tag & 0x1f >= number:
            break
        length, size = content[at + 1], 2
        if length & 0x80:
            size += length & 0x7f
            length = int.from_bytes(content[at + 2:at + size], "big")
        at += size + length
    return at

"""TLS towards clients: which certificate, version and protocol they get, and what they may do."""

import os
import re
import socket
import subprocess
import threading

import pytest

from harness.client import RawClient
from harness.process import eventually, patience
from harness.ringway import Quiet
from harness.tls import (GET, V12, V13, Tls, alert_in, ask, connected, context, get, hello,
                         s_client)


@pytest.fixture(scope="module")
def gateway(site, site_rsa, other_site):
    with Tls([site, site_rsa, other_site], shards=2) as running:
        yield running


def common_name(s):
    return dict(pair[0] for pair in s.getpeercert()["subject"])["commonName"]


def subject_by_s_client(*arguments, **options):
    done = s_client(*arguments, say=GET, **options)
    return re.search(rb"subject=CN = (\S+)", done.stdout)[1].decode()


# Requests

def test_many_requests_on_one_connection(ca, gateway):
    with Quiet(gateway), connected(gateway.tls_port, context(ca)) as s:
        for _ in range(200):
            assert ask(s) == (200, b"hello\n")


def test_plain_http_on_a_tls_port_is_told_so(gateway):
    with Quiet(gateway), RawClient(gateway.tls_port) as client:
        answer = client.get("/hello")
        assert answer.status == 400
        assert b"TLS" in answer.body
        assert client.ends()
        assert gateway.record(cause="tls_plain_http")["status"] == 400


@pytest.mark.parametrize("version", [V12, V13])
def test_the_log_says_how_a_connection_is_protected(ca, gateway, version):
    path = f"/hello?facts{version}"
    ctx = context(ca, version, version)
    ctx.set_alpn_protocols(["http/1.1"])
    with connected(gateway.tls_port, ctx) as s:
        ask(s, path)
        name, _, _ = s.cipher()
    tls = gateway.record(path=path)["tls"]
    assert tls["version"] == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]
    iana = {"ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}
    assert tls["suite"] == iana.get(name, name)
    assert tls["group"] == "X25519"
    assert tls["server_name"] == "a.test"
    assert tls["alpn"] == "http/1.1"
    assert tls["resumed"] is False
    assert tls["handshake_us"] > 0


def test_a_plain_connection_has_no_tls_in_the_log(gateway):
    gateway.get("/hello?plain")
    assert "tls" not in gateway.record(path="/hello?plain")


# Which certificate

@pytest.mark.parametrize("asked,name", [("a.test", "a.test"), ("A.Test", "a.test"),
                                        ("x.b.test", "a.test"), ("other.test", "other.test"),
                                        ("exact.b.test", "other.test")])
def test_the_name_asked_for_chooses_the_certificate(ca, gateway, asked, name):
    with connected(gateway.tls_port, context(ca), asked) as s:
        assert common_name(s) == name


@pytest.mark.parametrize("asked", ["unknown.test", "x.y.b.test", "b.test", None])
def test_a_name_that_is_nowhere_gets_the_first_certificate(ca, gateway, asked):
    ctx = context(ca)
    ctx.check_hostname = False
    with connected(gateway.tls_port, ctx, asked) as s:
        assert common_name(s) == "a.test"
        assert ask(s) == (200, b"hello\n")


@pytest.mark.parametrize("name", ["a.test", "unknown.test", None])
@pytest.mark.parametrize("version,accepts,subject", [
    ("-tls1_3", "ECDSA+SHA256:RSA-PSS+SHA256", "a.test"),
    ("-tls1_3", "ECDSA+SHA256", "a.test"),
    ("-tls1_3", "RSA-PSS+SHA256", "a-rsa.test"),
    ("-tls1_2", "ECDSA+SHA256:RSA+SHA256", "a.test"),
    ("-tls1_2", "RSA+SHA256", "a-rsa.test"),
])
def test_a_client_gets_the_kind_of_key_that_it_can_read(gateway, version, accepts, subject, name):
    asked = ["-servername", name] if name else ["-noservername"]
    assert subject_by_s_client(gateway.tls_port, version, "-sigalgs", accepts, *asked) == subject


@pytest.fixture(scope="module")
def strict(site, other_site):
    with Tls([site, other_site], tls='strict_sni: true, min_version: "1.3"') as running:
        yield running


@pytest.mark.parametrize("asked", ["unknown.test", None])
def test_strict_sni_refuses_a_name_that_is_nowhere(ca, strict, asked):
    ctx = context(ca)
    ctx.check_hostname = False
    with Quiet(strict), RawClient(strict.tls_port) as client:
        assert alert_in(client.send(hello(ctx, asked)).rest()) == 112    # unrecognized_name
    record = strict.record(cause="tls_unknown_name", tls=None) if asked is None else \
        strict.record(cause="tls_unknown_name")
    assert record["status"] in (0, None)


def test_strict_sni_serves_the_names_that_it_knows(ca, strict):
    for name in ("a.test", "x.b.test", "other.test"):
        with connected(strict.tls_port, context(ca), name) as s:
            assert ask(s) == (200, b"hello\n")


def test_min_version_13_refuses_12(ca, strict):
    with RawClient(strict.tls_port) as client:
        sent = hello(context(ca, V12, V12))
        assert alert_in(client.send(sent).rest()) == 70    # protocol_version
    strict.record(cause="tls_version")
    with connected(strict.tls_port, context(ca, V12, V13)) as s:
        assert s.version() == "TLSv1.3"


# Which protocol

@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("offered", [["http/1.1"], ["h2", "http/1.1"], ["http/1.1", "h2"]])
def test_http11_is_chosen_of_what_a_client_offers(ca, gateway, offered, version):
    ctx = context(ca, version, version)
    ctx.set_alpn_protocols(offered)
    with connected(gateway.tls_port, ctx) as s:
        assert s.selected_alpn_protocol() == "http/1.1"
        assert ask(s) == (200, b"hello\n")


@pytest.mark.parametrize("offered", [["h2"], ["h3", "spdy/3"]])
def test_a_client_without_http11_gets_no_application_protocol(ca, gateway, offered):
    ctx = context(ca)
    ctx.set_alpn_protocols(offered)
    with Quiet(gateway), RawClient(gateway.tls_port) as client:
        assert alert_in(client.send(hello(ctx)).rest()) == 120
    gateway.record(cause="tls_no_alpn")


def test_a_client_without_alpn_is_served(ca, gateway):
    with connected(gateway.tls_port, context(ca)) as s:
        assert s.selected_alpn_protocol() is None
        ask(s, "/hello?no-alpn")
    assert gateway.record(path="/hello?no-alpn")["tls"]["alpn"] == ""


# The handshake's turns

@pytest.mark.parametrize("groups,chosen", [("P-521:X25519", "X25519"), ("P-521:P-256", "P-256"),
                                           ("P-521:P-384", "P-384")])
def test_a_hello_retry_request_gets_another_key_share(ca, gateway, groups, chosen):
    path = f"/hello?retry-{chosen}"
    done = s_client(gateway.tls_port, "-tls1_3", "-groups", groups, "-servername", "a.test",
                    "-msg", say=get(path), ca=ca)
    assert done.stdout.count(b", ClientHello") == 2
    assert done.stdout.endswith(b"hello\n") or b"\r\n\r\nhello\n" in done.stdout
    assert gateway.record(path=path)["tls"]["group"] == chosen


def test_nothing_shared_is_refused(gateway):
    done = s_client(gateway.tls_port, "-tls1_3", "-groups", "P-521", "-servername", "a.test")
    assert b"alert handshake failure" in done.stderr and done.returncode != 0, done.stderr
    gateway.record(cause="tls_nothing_shared")


class Interactive:
    """openssl s_client whose commands (K, k, R: a line that begins with one) are given one by
    one; what it says goes to files, so that no pipe fills up."""

    def __init__(self, port, folder, *options):
        self.said, self.complained = folder / "stdout", folder / "stderr"
        self.child = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "a.test",
             *options], stdin=subprocess.PIPE, stdout=open(self.said, "wb"),
            stderr=subprocess.PIPE)
        self.errors = b""
        self.ended = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.news = threading.Condition()
        self.reader.start()
        # TLS 1.3 tickets come after it, and a command that came before would wait for them.
        assert eventually(lambda: b"Verify return code" in self.said.read_bytes())

    def _read(self):
        for line in self.child.stderr:
            with self.news:
                self.errors += line
                self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def command(self, letter, echo):
        """False when it is gone. The next may follow when this one has been read."""
        with self.news:
            before = self.errors.count(echo)
            try:
                os.write(self.child.stdin.fileno(), letter + b"\n")
            except BrokenPipeError:
                return False
            return self.news.wait_for(
                lambda: self.errors.count(echo) > before or self.ended, patience(5)) \
                and not self.ended

    def get(self, path, close=False):
        more = b"Connection: close\r\n" if close else b""
        os.write(self.child.stdin.fileno(),
                 b"GET %s HTTP/1.1\r\nHost: a.test\r\n%s\r\n" % (path.encode(), more))

    def answers(self):
        return self.said.read_bytes().count(b"HTTP/1.1 200")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.reader.join()
        self.child.stdin.close()
        self.child.stderr.close()


@pytest.mark.parametrize("letter", [b"k", b"K"])
def test_keys_are_updated_two_hundred_times_in_a_row(gateway, letter, tmp_path):
    with Quiet(gateway), Interactive(gateway.tls_port, tmp_path, "-tls1_3") as client:
        for n in range(1, 4):
            assert client.command(letter, b"KEYUPDATE")
            client.get("/hello")
            assert eventually(lambda: client.answers() == n)
        for _ in range(200):
            assert client.command(letter, b"KEYUPDATE")
        client.get("/hello")
        assert eventually(lambda: client.answers() == 4)


def test_a_flood_of_key_updates_ends_the_connection(ca, gateway, tmp_path):
    with Quiet(gateway), connected(gateway.tls_port, context(ca)) as bystander, \
            Interactive(gateway.tls_port, tmp_path, "-tls1_3") as client:
        # Each is a record of 27 bytes; after 64 KiB without a byte of a request it is enough.
        sent = 0
        while client.command(b"k", b"KEYUPDATE"):
            sent += 1
            # What it says until it hears of the end; it would have the time for a million.
            assert sent < 50000
        assert sent > 2000
        assert ask(bystander) == (200, b"hello\n")


@pytest.mark.parametrize("version", [V12, V13])
def test_the_end_is_said(ca, gateway, version):
    with socket.create_connection(("127.0.0.1", gateway.tls_port), patience(5)) as raw, \
            context(ca, version, version).wrap_socket(
                raw, server_hostname="a.test", suppress_ragged_eofs=False) as s:
        s.sendall(GET)
        got = b""
        # With a bare FIN this raises an SSLEOFError.
        while piece := s.recv(65536):
            got += piece
        assert got.endswith(b"hello\n")


def test_renegotiation_is_refused(ca, gateway, tmp_path):
    with Quiet(gateway), connected(gateway.tls_port, context(ca)) as bystander, \
            Interactive(gateway.tls_port, tmp_path, "-tls1_2", "-msg") as client:
        client.get("/hello")
        assert eventually(lambda: client.answers() == 1)
        before = client.said.read_bytes().count(b", ServerHello\n")
        client.command(b"R", b"RENEGOTIATING")
        assert eventually(lambda: client.child.poll() is not None), "it was not ended"
        assert client.said.read_bytes().count(b", ServerHello\n") == before == 1
        assert ask(bystander) == (200, b"hello\n")

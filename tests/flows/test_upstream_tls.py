"""TLS towards upstreams: nginx and Python's ssl as origins, real certificates."""

import contextlib
import hashlib
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

from harness.certs import Authority, Certificate, openssl
from harness.client import RawClient
from harness.nginx import SMALL, Nginx
from harness.process import eventually, free_port, patience
from harness.ringway import Ringway, command

NGINX_TLS = """
    log_format tls '$request_uri $ssl_server_name $ssl_session_reused $ssl_protocol $connection '
                   '$ssl_client_s_dn';
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {site.cert};
        ssl_certificate_key {site.key};
        ssl_protocols {protocols};
        ssl_session_cache {cache};
        ssl_session_tickets {tickets};
        {more}
        access_log FOLDER/tls.log tls;
        location = /small {{ return 200 "{small}"; }}
        location = /close {{ keepalive_timeout 0; return 200 "{small}"; }}
        location /store/ {{
            alias FOLDER/files/;
            dav_methods PUT DELETE;
            create_full_put_path on;
        }}
    }}
"""


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"), name="another root")


@pytest.fixture(scope="module")
def site(ca):
    return ca.issue("origin.test", ["localhost", "127.0.0.1", "origin.test", "*.wild.test"])


@contextlib.contextmanager
def nginx_with_tls(site, protocols="TLSv1.2 TLSv1.3", cache="none", tickets="on", more=""):
    port = free_port()
    with Nginx(NGINX_TLS.format(port=port, site=site, protocols=protocols, cache=cache,
                                tickets=tickets, more=more, small=SMALL)) as nginx:
        nginx.tls_port = port
        columns = ("path", "name", "reused", "version", "connection", "client")
        nginx.tls_log = lambda: [dict(zip(columns, line.split(None, 5))) for line in
                                 (nginx.folder / "tls.log").read_text().splitlines()]
        yield nginx


def service(port, tls="", host="127.0.0.1", more=""):
    """One that is at https://; `tls` is YAML of its mapping, on one line."""
    return f"""
up:
  url: https://{host}:{port}
  tls: {{{tls}}}
  {more}
  routes: [{{path: "/*", max_body: 64MiB}}]
""" if tls else f"""
up:
  url: https://{host}:{port}
  {more}
  routes: [{{path: "/*", max_body: 64MiB}}]
"""


class TlsOrigin:
    """Python's ssl; `script(conn)` for each connection whose handshake has ended well. Names
    that clients asked for are in `names`, errors of handshakes in `errors`."""

    def __init__(self, certificate, script, *, client_ca=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.cert, certificate.key)
        self.context.sni_callback = lambda s, name, ctx: self.names.append(name)
        if client_ca:
            self.context.load_verify_locations(client_ca.cert)
            self.context.verify_mode = ssl.CERT_REQUIRED
        self.script = script
        self.names = []
        self.errors = []
        self.handshakes = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.settimeout(patience(10))
        try:
            with self.context.wrap_socket(sock, server_side=True) as conn:
                self.handshakes += 1
                self.script(conn)
        except OSError as error:
            self.errors.append(str(error))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def read_head(conn):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = conn.recv(4096)
        if not piece:
            return b""
        head += piece
    return head


def answer_all(conn):
    while read_head(conn):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def get(gateway, path="/small"):
    with RawClient(gateway.port) as client:
        return client.get(path)


def refused(gateway, status, cause):
    answer = get(gateway)
    assert answer.status == status
    assert gateway.record(cause=cause)["status"] == status


# ---- answers ----

@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_a_request_over_tls(ca, site, version):
    with nginx_with_tls(site, version) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        assert get(gateway).body == SMALL.encode()
        assert gateway.record(path="/small")["connect_us"] > 0
        assert eventually(nginx.tls_log)
        (line,) = nginx.tls_log()
        assert line["version"] == version
        assert line["name"] == "-"  # an address is no name


def test_an_rsa_certificate(ca):
    rsa = ca.issue("rsa", ["127.0.0.1"], kind="rsa")
    with nginx_with_tls(rsa) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        assert get(gateway).body == SMALL.encode()


def test_a_connection_is_kept(ca, site):
    with nginx_with_tls(site) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        for _ in range(50):
            assert get(gateway).body == SMALL.encode()
        assert eventually(lambda: len(nginx.tls_log()) == 50)
        assert len({line["connection"] for line in nginx.tls_log()}) == 1


@pytest.mark.parametrize("version", ["TLSv1.3", "TLSv1.2"])
def test_large_bodies_arrive_equal_both_ways(ca, site, version):
    with nginx_with_tls(site, version) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        for size in (1, 16383, 16384, 16385, 1 << 20, 5_000_003):
            body = os.urandom(size)
            with RawClient(gateway.port) as client:
                client.send(f"PUT /store/{size} HTTP/1.1\r\nHost: a\r\n"
                            f"Content-Length: {size}\r\n\r\n".encode() + body)
                assert client.response().status == 201
                stored = (nginx.files / str(size)).read_bytes()
                assert hashlib.sha256(stored).digest() == hashlib.sha256(body).digest()
                got = client.get(f"/store/{size}").body
                assert hashlib.sha256(got).digest() == hashlib.sha256(body).digest()


def test_an_answer_that_ends_with_the_connection(ca, site):
    """RFC 9112 section 9.8: whole with close_notify, cut without."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

    def says_goodbye(conn):
        read_head(conn)
        conn.sendall(head + b"all of it")
        conn.unwrap()

    def cuts(conn):
        read_head(conn)
        conn.sendall(head + b"a part of")
        time.sleep(0.2)
        socket.socket(fileno=conn.detach()).close()

    with TlsOrigin(site, says_goodbye) as origin, \
            Ringway(service(origin.port, f"ca: {ca.cert}")) as gateway:
        assert get(gateway).body == b"all of it"
    with TlsOrigin(site, cuts) as origin, \
            Ringway(service(origin.port, f"ca: {ca.cert}")) as gateway, \
            RawClient(gateway.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert not client.rest().endswith(b"0\r\n\r\n")  # no last chunk
        assert gateway.record(cause="upstream_closed")["status"] == 200


# ---- who is spoken to ----

def test_a_private_authority_is_not_the_systems(site):
    with TlsOrigin(site, answer_all) as origin, Ringway(service(origin.port)) as gateway:
        refused(gateway, 502, "upstream_certificate_untrusted")
        assert eventually(lambda: origin.errors)
        assert "ALERT" in origin.errors[0].upper()  # it is told why


def test_a_servers_certificate_in_ca_vouches_for_nobody(ca, site, tmp_path):
    below = Authority(tmp_path / "below")
    below.key, below.cert = site.key, site.cert
    conf = (below.folder / "ca.conf").read_text()
    (below.folder / "ca.conf").write_text(
        conf.replace(str(below.folder / "ca.pem"), str(site.cert))
        .replace(str(below.folder / "ca.key"), str(site.key)))
    forged = below.issue("forged", ["127.0.0.1"])
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(site.cert.read_text() + ca.cert.read_text())
    with TlsOrigin(forged, answer_all) as origin, \
            Ringway(service(origin.port, f"ca: {bundle}")) as gateway:
        refused(gateway, 502, "upstream_certificate_untrusted")


def test_another_authority_of_the_same_name_is_refused(site, tmp_path):
    twin = Authority(tmp_path)
    with TlsOrigin(site, answer_all) as origin, \
            Ringway(service(origin.port, f"ca: {twin.cert}")) as gateway:
        refused(gateway, 502, "upstream_certificate_untrusted")


@pytest.mark.parametrize("name,days", [("old", (-10, -1)), ("young", (1, 10))])
def test_a_certificate_that_is_not_in_its_days_is_refused(ca, name, days):
    cert = ca.issue(name, ["127.0.0.1"], days=days)
    with TlsOrigin(cert, answer_all) as origin, \
            Ringway(service(origin.port, f"ca: {ca.cert}")) as gateway:
        refused(gateway, 502, "upstream_certificate_expired")


def test_a_certificate_for_clients_is_refused(ca):
    cert = ca.issue("for-clients", ["127.0.0.1"], usage="clientAuth")
    with TlsOrigin(cert, answer_all) as origin, \
            Ringway(service(origin.port, f"ca: {ca.cert}")) as gateway:
        refused(gateway, 502, "upstream_certificate_untrusted")


def sign_authority(by, key, name, cert, extra=""):
    """A certificate for the authority with this key and name."""
    request, extensions = cert.with_suffix(".csr"), cert.with_suffix(".ext")
    openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
    extensions.write_text("basicConstraints=critical,CA:TRUE\n"
                          f"{extra or 'keyUsage=critical,keyCertSign,cRLSign'}\n")
    openssl("x509", "-req", "-in", request, "-CA", by.cert, "-CAkey", by.key, "-days", "90",
            "-set_serial", str(time.time_ns()), "-extfile", extensions, "-out", cert)


def authority_below(ca, name, extra=""):
    below = Authority(ca.folder / name, name)
    sign_authority(ca, below.key, name, below.cert, extra)
    return below


def chained(leaf, name, *certs):
    """The leaf with these certificates behind it."""
    made = Certificate(leaf.cert.with_name(name), leaf.key)
    made.cert.write_text("".join(cert.read_text() for cert in (leaf.cert, *certs)))
    return made


@pytest.mark.parametrize("tail", ["the root", "the root as another one signed it", "a stranger"])
def test_what_nobody_needs_behind_a_chain_does_no_harm(ca, other_ca, tail):
    below = authority_below(ca, "below-tail-" + tail.replace(" ", "-"))
    crossed = below.folder / "crossed.pem"
    sign_authority(other_ca, ca.key, "test root", crossed)
    last = {"the root": ca.cert, "a stranger": other_ca.cert}.get(tail, crossed)
    leaf = below.issue("tailed", ["127.0.0.1"])
    with TlsOrigin(chained(leaf, "whole.pem", below.cert, last), answer_all) as origin, \
            Ringway(service(origin.port, f"ca: {ca.cert}")) as gateway:
        assert get(gateway).body == b"ok"


def test_a_chain_to_an_authority_that_is_not_trusted_is_refused_whatever_it_says(ca, other_ca):
    """Each certificate by itself holds; only none of them leads to ours."""
    below = authority_below(other_ca, "below-other")
    leaf = below.issue("foreign", ["127.0.0.1"])
    for number, certs in enumerate([[below.cert], [below.cert, other_ca.cert],
                                    [below.cert, other_ca.cert, ca.cert]]):
        with TlsOrigin(chained(leaf, f"{number}.pem", *certs), answer_all) as origin, \
                Ringway(service(origin.port, f"ca: {ca.cert}")) as gateway:
            refused(gateway, 502, "upstream_certificate_untrusted")


@pytest.mark.parametrize("name,extra,right", [
    ("any", "", True),
    ("for-servers", "keyUsage=critical,keyCertSign\nextendedKeyUsage=serverAuth", True),
    ("for-clients", "keyUsage=critical,keyCertSign\nextendedKeyUsage=clientAuth", False),
    ("not-for-signing", "keyUsage=critical,digitalSignature", False),
])
def test_an_authority_between_vouches_for_what_it_may(ca, name, extra, right):
    below = authority_below(ca, f"below-{name}", extra)
    cert = below.issue(f"by-{name}", ["127.0.0.1"])
    cert.cert.write_text(cert.cert.read_text() + below.cert.read_text())
    with TlsOrigin(cert, answer_all) as origin, \
            Ringway(service(origin.port, f"ca: {ca.cert}")) as gateway:
        if right:
            assert get(gateway).body == b"ok"
        else:
            refused(gateway, 502, "upstream_certificate_untrusted")


def test_an_authority_that_was_refused_helps_no_other_connection(ca):
    """One connection begins, another shows the authority between, the first goes on without."""
    below = authority_below(ca, "below-between", "extendedKeyUsage=clientAuth")
    alone = below.issue("alone", ["127.0.0.1"])
    chain = Certificate(alone.cert.with_suffix(".chain"), alone.key)
    chain.cert.write_text(alone.cert.read_text() + below.cert.read_text())
    begun, refused_one, numbers = threading.Event(), threading.Event(), iter((1, 2))

    def script(sock):
        number = next(numbers)
        hello = sock.recv(65536)
        if number == 1:
            begun.set()
            assert refused_one.wait(patience(10))
        with socket.create_connection(("127.0.0.1", (short if number == 1 else long).port)) as s:
            s.sendall(hello)
            pipe(s, sock)

    with TlsOrigin(alone, answer_all) as short, TlsOrigin(chain, answer_all) as long, \
            Ringway(service(raw_origin(script), f"ca: {ca.cert}",
                            more="timeouts: {connect: 10s}")) as gateway:
        with RawClient(gateway.port) as first:
            first.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert begun.wait(patience(10))
            assert get(gateway).status == 502
            refused_one.set()
            assert first.response().status == 502


@contextlib.contextmanager
def weak_origin(certificate, version):
    """OpenSSL with a certificate that it does not like itself."""
    child = subprocess.Popen(
        ["openssl", "s_server", "-accept", "0", "-www", "-cert", certificate.cert, "-key",
         certificate.key, "-cipher", "ALL:@SECLEVEL=0", f"-tls1_{version}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = next(line for line in child.stdout if line.startswith(b"ACCEPT"))
        yield int(said.split(b":")[-1])
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("bits,digest,right", [
    (2048, "sha256", True), (2048, "sha1", False), (1024, "sha256", False)])
def test_weak_certificates_are_refused(ca, tmp_path, bits, digest, right, version):
    cert, key, request = (tmp_path / name for name in ("cert.pem", "cert.key", "cert.csr"))
    (tmp_path / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("req", "-new", "-newkey", f"rsa:{bits}", "-nodes", "-keyout", key, "-subj", "/CN=weak",
            "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", ca.cert, "-CAkey", ca.key, "-days", "9",
            "-set_serial", str(time.time_ns()), "-extfile", tmp_path / "ext", f"-{digest}",
            "-out", cert)
    with weak_origin(Certificate(cert, key), version) as port, \
            Ringway(service(port, f"ca: {ca.cert}")) as gateway:
        if right:
            assert get(gateway, "/").status == 200
        else:
            refused(gateway, 502, "upstream_certificate_untrusted")


# Certificate's names; what is asked for (server_name, else the address); is it right?
NAMES = [
    (["127.0.0.1"], None, True),
    (["127.0.0.2"], None, False),
    (["localhost"], None, False),
    (["a.test", "b.test"], "b.test", True),
    (["a.test"], "A.TEST", True),
    (["a.test"], "b.test", False),
    (["*.a.test"], "x.a.test", True),
    (["*.a.test"], "x.y.a.test", False),
    (["*.a.test"], "a.test", False),
    (["*.test"], "a.test", False),  # nobody owns a top-level domain
    (["127.0.0.1"], "a.test", False),
    ([], "names.test", False),  # the common name is none (RFC 9525 section 2)
]


@pytest.mark.parametrize("names,asked,right", NAMES)
def test_names(ca, names, asked, right):
    cert = ca.issue("names.test", names)
    tls = f"ca: {ca.cert}" + (f", server_name: {asked}" if asked else "")
    with TlsOrigin(cert, answer_all) as origin, Ringway(service(origin.port, tls)) as gateway:
        if right:
            assert get(gateway).body == b"ok"
        else:
            refused(gateway, 502, "upstream_certificate_name")
        # RFC 6066 section 3: no addresses
        assert origin.names == [asked]


def test_the_name_in_the_url_is_sent_and_verified(ca, site):
    with nginx_with_tls(site) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}", host="localhost")) as gateway:
        assert get(gateway).body == SMALL.encode()
        assert eventually(lambda: [x["name"] for x in nginx.tls_log()] == ["localhost"])


def test_nothing_is_verified_when_told_so(other_ca):
    cert = other_ca.issue("wrong", ["wrong.test"], days=(-10, -1))
    with TlsOrigin(cert, answer_all) as origin, \
            Ringway(service(origin.port, "verify: false")) as gateway:
        assert get(gateway).body == b"ok"
        assert "WARNING    service up does not verify" in gateway.process.stderr


def test_client_certificates(ca, site):
    cert = ca.issue("we", usage="clientAuth")
    more = f"ssl_verify_client on; ssl_client_certificate {ca.cert};"
    ours = f"ca: {ca.cert}, client_cert: {cert.cert}, client_key: {cert.key}"
    with nginx_with_tls(site, more=more) as nginx:
        with Ringway(service(nginx.tls_port, ours)) as gateway:
            assert get(gateway).body == SMALL.encode()
            assert eventually(lambda: [x["client"] for x in nginx.tls_log()] == ["CN=we"])
        with Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
            assert get(gateway).status == 400  # nginx's own answer


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_origin_that_ends_without_our_certificate(ca, site, version):
    with TlsOrigin(site, answer_all, client_ca=ca) as origin:
        origin.context.minimum_version = origin.context.maximum_version = version
        with Ringway(service(origin.port, f"ca: {ca.cert}")) as gateway:
            refused(gateway, 502, "upstream_tls_failed")


# ---- what goes wrong ----

def raw_origin(script):
    """A plain listener; `script(sock)` for each connection. Its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=script, args=(sock,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def test_an_origin_that_speaks_plain_http(ca):
    def script(sock):
        sock.recv(4096)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        sock.recv(4096)

    with Ringway(service(raw_origin(script), f"ca: {ca.cert}")) as gateway:
        refused(gateway, 502, "upstream_tls_failed")


def test_an_origin_that_never_answers_the_handshake(ca):
    held = []
    with Ringway(service(raw_origin(held.append), f"ca: {ca.cert}",
                         more="timeouts: {connect: 300ms}")) as gateway:
        began = time.monotonic()
        refused(gateway, 504, "upstream_tls_timeout")
        assert 0.25 < time.monotonic() - began < patience(3)


def test_an_origin_that_dies_in_the_handshake(ca, site):
    """It reads the hello, sends a part of its flight, and is gone."""
    inner = TlsOrigin(site, answer_all)

    def script(sock):
        hello = sock.recv(65536)
        with socket.create_connection(("127.0.0.1", inner.port)) as behind:
            behind.sendall(hello)
            flight = behind.recv(65536)
        sock.sendall(flight[:len(flight) // 2])
        time.sleep(0.1)
        sock.close()

    with inner, Ringway(service(raw_origin(script), f"ca: {ca.cert}")) as gateway:
        for _ in range(3):
            refused(gateway, 502, "upstream_tls_failed")
        assert eventually(lambda: gateway.status()["shards"][0]["upstream_busy"] == 0)


def test_an_origin_that_dies_in_the_answer(ca, site):
    def script(conn):
        read_head(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        socket.socket(fileno=conn.detach()).close()

    with TlsOrigin(site, script) as origin, \
            Ringway(service(origin.port, f"ca: {ca.cert}")) as gateway, \
            RawClient(gateway.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"half" in client.rest()
        assert eventually(lambda: gateway.record(cause="upstream_closed"))


def test_the_next_target_is_tried(ca, site):
    wrong = ca.issue("wrong-name", ["wrong.test"])
    with TlsOrigin(site, answer_all) as good, TlsOrigin(wrong, answer_all) as bad, Ringway(f"""
up:
  targets: [{{url: "https://127.0.0.1:{bad.port}"}}, {{url: "https://127.0.0.1:{good.port}"}}]
  tls: {{ca: {ca.cert}}}
  retry: {{attempts: 1}}
  routes: [{{path: "/*"}}]
""") as gateway:
        for _ in range(4):
            with RawClient(gateway.port) as client:
                client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
                assert client.response().status == 200
        assert any(r["attempts"] == 2 for r in gateway.records())


# ---- sessions ----

resumes = pytest.mark.skipif(re.search(r"wolfSSL +5\.5", command("version").stdout) is not None,
                             reason="sessions to upstreams are kept from wolfSSL 5.7 on")


@resumes
@pytest.mark.parametrize("version,tickets", [("TLSv1.3", "on"), ("TLSv1.2", "on"),
                                             ("TLSv1.2", "off")])
def test_sessions_are_resumed(ca, site, version, tickets):
    with nginx_with_tls(site, version, cache="shared:all:1m", tickets=tickets) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        for _ in range(6):
            assert get(gateway, "/close").body == SMALL.encode()
        assert eventually(lambda: len(nginx.tls_log()) == 6)  # it logs after the answer
        assert [line["reused"] for line in nginx.tls_log()] == ["."] + 5 * ["r"]


@resumes
def test_many_connections_at_once_resume_by_one_session(ca, site):
    """Each has a copy: what one of them learns does not spoil what the others offer."""
    with nginx_with_tls(site) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        for _ in range(5):
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(RawClient(gateway.port)) for _ in range(16)]
                for client in clients:
                    client.send(b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n")
                assert [c.response().status for c in clients] == 16 * [200]
        assert eventually(lambda: len(nginx.tls_log()) == 80)
        reused = [line["reused"] for line in nginx.tls_log()]
        assert set(reused[16:]) == {"r"}


def test_an_origin_that_forgot_its_sessions(ca, site):
    with nginx_with_tls(site) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        assert get(gateway, "/close").status == 200
        nginx.end()
        assert nginx.start()
        assert get(gateway, "/close").status == 200
        assert eventually(lambda: len(nginx.tls_log()) == 2)
        assert nginx.tls_log()[-1]["reused"] == "."


def test_an_origin_that_has_learnt_tls_1_3(ca, site):
    """One connection may still offer to resume, and so the older version only."""
    with nginx_with_tls(site, "TLSv1.2") as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        for _ in range(3):
            assert get(gateway, "/close").status == 200
        nginx.end()
        nginx.more = nginx.more.replace("ssl_protocols TLSv1.2", "ssl_protocols TLSv1.2 TLSv1.3")
        assert nginx.start()
        for _ in range(3):
            assert get(gateway, "/close").status == 200
        assert eventually(lambda: len(nginx.tls_log()) == 6)
        assert [line["version"] for line in nginx.tls_log()][:3] == 3 * ["TLSv1.2"]
        assert [line["version"] for line in nginx.tls_log()][-2:] == 2 * ["TLSv1.3"]


@resumes
def test_an_origin_that_ends_connections_that_resume(ca, site):
    """The hello of one that would resume carries pre_shared_key; a full one is tried at once,
    for a request of any method."""
    inner = TlsOrigin(site, answer_once)
    refusals = []

    def script(sock):
        hello = sock.recv(65536)
        if b"\x00\x29" in hello[-400:] and not refusals:
            refusals.append(hello)
            sock.sendall(b"\x15\x03\x03\x00\x02\x02\x33")  # decrypt_error
            sock.close()
            return
        with socket.create_connection(("127.0.0.1", inner.port)) as behind:
            behind.sendall(hello)
            pipe(behind, sock)

    with inner, Ringway(service(raw_origin(script), f"ca: {ca.cert}")) as gateway:
        for _ in range(3):
            with RawClient(gateway.port) as client:
                client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
                assert client.response().status == 200
        assert len(refusals) == 1


def answer_once(conn):
    head = read_head(conn)
    while not head.endswith(b"abc"):
        head += conn.recv(100)
    conn.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")


def pipe(a, b):
    def copy(source, to):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                to.sendall(piece)
            to.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=copy, args=(b, a), daemon=True)
    back.start()
    copy(a, b)
    back.join(patience(5))
    b.close()


# ---- changes ----

def test_a_reload_with_another_authority(ca, other_ca, site):
    """Neither a kept connection nor a session of the old one is used any more."""
    with nginx_with_tls(site) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {ca.cert}")) as gateway:
        assert get(gateway).status == 200
        assert get(gateway, "/close").status == 200
        gateway.write_config(service(nginx.tls_port, f"ca: {other_ca.cert}"))
        assert gateway.admin("reload").returncode == 0
        refused(gateway, 502, "upstream_certificate_untrusted")
        gateway.write_config(service(nginx.tls_port, f"ca: {ca.cert}"))
        assert gateway.admin("reload").returncode == 0
        assert get(gateway).status == 200


def test_a_file_with_other_authorities(ca, other_ca, site, tmp_path):
    """The same path, so the same endpoint: what the file holds counts."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(ca.cert.read_text())
    with nginx_with_tls(site) as nginx, \
            Ringway(service(nginx.tls_port, f"ca: {bundle}")) as gateway:
        assert get(gateway).status == 200
        bundle.write_text(other_ca.cert.read_text())
        assert gateway.admin("reload").returncode == 0
        refused(gateway, 502, "upstream_certificate_untrusted")
        bundle.write_text(other_ca.cert.read_text() + ca.cert.read_text())
        assert gateway.admin("reload").returncode == 0
        assert get(gateway).status == 200
        assert eventually(lambda: len(nginx.tls_log()) == 2)
        assert nginx.tls_log()[-1]["reused"] == "."


def test_services_with_other_settings_share_nothing(ca, other_ca, site):
    with nginx_with_tls(site) as nginx, Ringway(f"""
good:
  url: https://127.0.0.1:{nginx.tls_port}
  tls: {{ca: {ca.cert}}}
  routes: [{{path: /small}}]
bad:
  url: https://127.0.0.1:{nginx.tls_port}
  tls: {{ca: {other_ca.cert}}}
  routes: [{{path: /close}}]
""") as gateway:
        assert get(gateway, "/small").status == 200
        assert get(gateway, "/close").status == 502
        assert get(gateway, "/small").status == 200


@pytest.mark.parametrize("content,message", [
    ("", "is empty"), ("no PEM", "no certificate of an authority"), (None, "cannot be read")])
def test_a_wrong_file_stops_the_start_by_name(content, message, tmp_path):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    gateway = Ringway(service(1, f"ca: {path}"))
    with pytest.raises(AssertionError) as told:
        gateway.start()
    gateway.discard()
    assert message in str(told.value)
    assert "services.up.tls" in str(told.value)


def test_clients_that_leave_during_the_handshake(ca, site):
    """At every moment of it: whatever there is by then of connection and session goes back."""
    inner = TlsOrigin(site, answer_all)

    def slowly(sock):
        with socket.create_connection(("127.0.0.1", inner.port)) as behind, \
                contextlib.suppress(OSError):
            behind.sendall(sock.recv(65536))
            flight = behind.recv(65536)
            for i in range(0, len(flight), 100):
                sock.sendall(flight[i:i + 100])
                time.sleep(0.01)
            behind.sendall(sock.recv(65536))

    with inner, Ringway(service(raw_origin(slowly), f"ca: {ca.cert}")) as gateway:
        before = gateway.gauges()
        for i in range(40):
            client = RawClient(gateway.port)
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(i * 0.005)
            client.reset()
        assert eventually(lambda: gateway.gauges() == before)

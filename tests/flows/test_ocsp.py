"""OCSP responses that are stapled: from a file, and fetched from responders."""

import http.server
import itertools
import re
import socket
import threading
import time

import pytest

from harness.certs import Authority, Certificate, openssl
from harness.process import Process, SANITIZER, eventually, free_port, patience
from harness.ringway import command
from harness.tls import GET, Tls, connected, context, s_client

numbers = itertools.count()
GOOD = b"Cert Status: good"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    """An authority of its own, since certificates are revoked here."""
    return Authority(tmp_path_factory.mktemp("ocsp"))


def issue(ca, name, url=None):
    """A certificate with that of its issuer behind it; `leaf` is the file without."""
    extra = f"authorityInfoAccess=OCSP;URI:{url}\n" if url else ""
    alone = ca.issue(f"{next(numbers)}.{name}", [name], extra=extra)
    chain = alone.cert.with_suffix(".chain")
    chain.write_text(alone.cert.read_text() + ca.cert.read_text())
    made = Certificate(chain, alone.key)
    made.leaf = alone.cert
    return made


def all_revoked(ca, path):
    """The authority's index as if it had revoked everything."""
    path.write_text(re.sub(r"(?m)^V\t(\w+)\t", r"R\t\1\t250101000000Z",
                           (ca.folder / "index.txt").read_text()))
    return path


@pytest.fixture(scope="module")
def site(ca):
    return issue(ca, "a.test")


def answer(ca, certificate, path, *, valid=("-ndays", 3), index=None, signer=None):
    """Writes a response about `certificate` to `path`."""
    signer = signer or ca
    openssl("ocsp", "-index", index or ca.folder / "index.txt", "-CA", ca.cert,
            "-rsigner", signer.cert, "-rkey", signer.key, "-issuer", ca.cert,
            "-cert", certificate.leaf, "-noverify", *valid, "-respout", f"{path}.new")
    path.with_name(f"{path.name}.new").rename(path)


def stapled(port, version, name="a.test"):
    """What `openssl s_client` says about the staple; the request must have been answered."""
    done = s_client(port, "-status", f"-tls1_{version}", "-servername", name,
                    say=GET.replace(b"a.test", name.encode()))
    assert b"HTTP/1.1 200" in done.stdout, done
    return done.stdout


def is_good(port, version, name="a.test"):
    said = stapled(port, version, name)
    return b"OCSP Response Status: successful" in said and GOOD in said


def has_none(port, name="a.test"):
    return b"OCSP response: no response sent" in stapled(port, 3, name)


def update_in(said):
    return re.search(rb"Next Update: (.*)", said)[1]


# From a file


@pytest.mark.parametrize("version", [2, 3])
def test_the_response_of_the_file_goes_into_full_handshakes(ca, site, tmp_path, version):
    path = tmp_path / "a.ocsp"
    answer(ca, site, path)
    with Tls([site], tls=f"ocsp: {{file: {path}}}", shards=2) as gateway:
        for _ in range(4):
            assert is_good(gateway.tls_port, version)


def test_it_goes_to_the_certificate_that_it_is_about(ca, site, tmp_path):
    path = tmp_path / "b.ocsp"
    other = issue(ca, "b.test")
    answer(ca, other, path)
    with Tls([site, other], tls=f"ocsp: {{file: {path}}}") as gateway:
        assert is_good(gateway.tls_port, 3, "b.test")
        assert has_none(gateway.tls_port)


def test_a_replaced_file_is_stapled_within_three_seconds(ca, site, tmp_path):
    path = tmp_path / "a.ocsp"
    answer(ca, site, path)
    with Tls([site], tls=f"ocsp: {{file: {path}}}") as gateway:
        before = update_in(stapled(gateway.tls_port, 3))
        answer(ca, site, path, valid=("-ndays", 5))
        assert eventually(lambda: update_in(stapled(gateway.tls_port, 3)) != before, 3.0)
        for version in (2, 3):
            assert is_good(gateway.tls_port, version)


def bad_files(ca, site, folder):
    """Files that may not be stapled, and what is said of them."""
    foreign = Authority(folder / "foreign", name="another root")
    other = issue(ca, "other.test")
    good = folder / "good.ocsp"
    answer(ca, site, good)
    answer(ca, site, folder / "foreign.ocsp", signer=foreign)
    answer(ca, other, folder / "other.ocsp")
    answer(ca, site, folder / "revoked.ocsp", index=all_revoked(ca, folder / "revoked.txt"))
    # In the years of both of its times; that is found before the signature is looked at.
    (folder / "over.ocsp").write_bytes(
        re.sub(rb"\x18\x0f20\d\d(\d{10}Z)", b"\x18\x0f2020\\g<1>", good.read_bytes()))
    (folder / "garbage.ocsp").write_bytes(b"no response at all")
    return [
        ("foreign.ocsp", "it is not signed for the issuer of the certificate"),
        ("other.ocsp", "it is about no certificate of the listener"),
        ("revoked.ocsp", "it says that the certificate is revoked"),
        ("over.ocsp", "its time is over (nextUpdate)"),
        ("garbage.ocsp", "it is no OCSP response"),
        ("missing.ocsp", "cannot be read: No such file or directory"),
    ]


def test_a_bad_file_is_named_and_the_old_response_stays(ca, site, tmp_path):
    cases = bad_files(ca, site, tmp_path)
    path = tmp_path / "a.ocsp"
    path.write_bytes((tmp_path / "good.ocsp").read_bytes())
    with Tls([site], tls=f"ocsp: {{file: {path}}}") as gateway:
        text = gateway.config_path.read_text()
        before = update_in(stapled(gateway.tls_port, 3))
        for name, said in cases:
            line = f"{tmp_path / name}: {said}"
            changed = text.replace(str(path), str(tmp_path / name))
            gateway.config_path.write_text(changed)
            checked = command("check", gateway.config_path)
            assert checked.returncode != 0 and line in checked.stdout + checked.stderr
            done = gateway.admin("reload")
            assert done.returncode != 0 and line in done.stdout + done.stderr
            assert update_in(stapled(gateway.tls_port, 3)) == before
        # The file itself goes bad: no reload needed for that to be said.
        gateway.config_path.write_text(text)
        path.write_bytes((tmp_path / "garbage.ocsp").read_bytes())
        assert eventually(lambda: f"{path}: it is no OCSP response" in gateway.process.stderr, 5.0)
        assert update_in(stapled(gateway.tls_port, 3)) == before
        assert is_good(gateway.tls_port, 2)


@pytest.mark.parametrize("name, said", [
    ("foreign.ocsp", "it is not signed for the issuer"),
    ("over.ocsp", "its time is over"),
    ("revoked.ocsp", "it says that the certificate is revoked"),
    ("garbage.ocsp", "it is no OCSP response"),
])
def test_a_bad_file_stops_the_start(ca, site, tmp_path, name, said):
    bad_files(ca, site, tmp_path)
    gateway = Tls([site], tls=f"ocsp: {{file: {tmp_path / name}}}")
    try:
        gateway.pick_ports()
        gateway.write_config()
        started = command("run", gateway.config_path)
        assert started.returncode == 1
        assert f"{tmp_path / name}: {said}" in started.stderr
    finally:
        gateway.discard()


def test_it_excludes_client_authentication(ca, site, tmp_path):
    gateway = Tls([site], tls=f"client_auth: request, client_ca: {ca.cert}, ocsp: {{fetch: true}}")
    try:
        gateway.pick_ports()
        gateway.write_config()
        checked = command("check", gateway.config_path)
        assert checked.returncode != 0
        assert "`ocsp` and `client_auth` exclude each other" in checked.stdout + checked.stderr
    finally:
        gateway.discard()


# Fetched


class OpensslResponder:
    """`openssl ocsp` as it comes."""

    def __init__(self, ca, port, folder):
        self.process = Process(
            ["openssl", "ocsp", "-index", ca.folder / "index.txt", "-port", port, "-rsigner",
             ca.cert, "-rkey", ca.key, "-CA", ca.cert, "-ndays", 2], folder, f"responder{port}")

    def __enter__(self):
        assert eventually(lambda: "waiting for OCSP client" in
                          self.process.stderr + self.process.stdout, 5.0), self.process.stderr
        return self

    def __exit__(self, *_):
        self.process.kill()


class Responder(http.server.ThreadingHTTPServer):
    """Asks openssl for the answers. `valid` and `index` say which, `before` runs first and may
    answer itself."""

    daemon_threads = True

    def __init__(self, ca, folder):
        self.ca, self.folder = ca, folder
        self.requests = []
        self.valid = ("-ndays", 2)
        self.index = ca.folder / "index.txt"
        self.before = None
        super().__init__(("127.0.0.1", 0), Asked)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/ocsp"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Asked(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.requests.append((self.path, self.headers, body))
        number = len(server.requests)
        if server.before and server.before(self, number):
            return
        asked = server.folder / f"{number}.request"
        answered = server.folder / f"{number}.response"
        asked.write_bytes(body)
        openssl("ocsp", "-index", server.index, "-CA", server.ca.cert, "-rsigner", server.ca.cert,
                "-rkey", server.ca.key, "-reqin", asked, "-respout", answered, *server.valid)
        self.answer(200, answered.read_bytes())

    def answer(self, status, body=b"", **fields):
        self.send_response(status)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def responder(ca, tmp_path):
    with Responder(ca, tmp_path) as server:
        yield server


def responder_port():
    """All interfaces are what openssl binds."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def test_a_response_is_fetched_from_the_responder_of_the_certificate(ca, tmp_path):
    port = responder_port()
    site = issue(ca, "a.test", f"http://127.0.0.1:{port}")
    with OpensslResponder(ca, port, tmp_path), \
            Tls([site], tls="ocsp: {fetch: true}", shards=2) as gateway:
        assert eventually(lambda: is_good(gateway.tls_port, 3), 5.0)
        for version in (2, 3):
            for _ in range(4):
                assert is_good(gateway.tls_port, version)
        assert "a new response from" in gateway.said()


def test_the_request_is_as_rfc_6960_has_it(ca, responder):
    site = issue(ca, "a.test", responder.url)
    with Tls([site], tls="ocsp: {fetch: true}") as gateway:
        assert eventually(lambda: is_good(gateway.tls_port, 3), 5.0)
        # What is good is not fetched again by a reload.
        assert gateway.admin("reload").returncode == 0
        assert is_good(gateway.tls_port, 3)
        time.sleep(0.5)
    assert len(responder.requests) == 1
    path, fields, _ = responder.requests[0]
    assert path == "/ocsp"
    assert fields["Content-Type"] == "application/ocsp-request"
    assert fields["Accept"] == "application/ocsp-response"
    assert "Expect" not in fields


def test_without_a_responder_handshakes_go_on_and_a_reload_tries_again(ca, tmp_path):
    port = responder_port()
    site = issue(ca, "a.test", f"http://127.0.0.1:{port}")
    with Tls([site], tls="ocsp: {fetch: true}") as gateway:
        assert eventually(lambda: "no good response from" in gateway.said(), 5.0)
        for _ in range(3):
            assert has_none(gateway.tls_port)
        assert gateway.admin("reload").returncode == 0
        time.sleep(0.5)
        # The same reason is not said again.
        assert gateway.process.stderr.count("no good response from") == 1
        with OpensslResponder(ca, port, tmp_path):
            assert gateway.admin("reload").returncode == 0
            assert eventually(lambda: is_good(gateway.tls_port, 3), 5.0)
            assert is_good(gateway.tls_port, 2)


def test_a_slow_responder_is_in_nobodys_way(ca, responder):
    site = issue(ca, "a.test", responder.url)
    let_go = threading.Event()

    def wait(asked, number):
        let_go.wait(30)
        asked.close_connection = True
        return True

    responder.before = wait
    try:
        with Tls([site], tls="ocsp: {fetch: true}") as gateway:
            assert eventually(lambda: responder.requests, 5.0)
            for _ in range(20):
                began = time.monotonic()
                with connected(gateway.tls_port, context(ca)):
                    pass
                assert time.monotonic() - began < patience(0.5)
            assert gateway.admin("reload").returncode == 0
            began = time.monotonic()
            gateway.stop()
            assert time.monotonic() - began < patience(3)
    finally:
        let_go.set()


@pytest.mark.parametrize("kind, said", [
    ("status", "the status of the answer is 503"),
    ("large", "it is larger than 16 KiB"),
    ("garbage", "it is no OCSP response"),
    ("redirects", "Number of redirects hit maximum amount"),
    ("file", "Unsupported protocol"),
    ("cut", "Transferred a partial file"),
])
def test_a_bad_answer_is_said_and_not_stapled(ca, responder, kind, said):
    site = issue(ca, "a.test", responder.url)

    def reply(asked, number):
        if kind == "status":
            asked.answer(503)
        elif kind == "large":
            asked.answer(200, b"x" * 20000)
        elif kind == "garbage":
            asked.answer(200, b"hello")
        elif kind == "redirects":
            asked.answer(307, Location=responder.url)
        elif kind == "file":
            asked.answer(307, Location="file:///etc/hostname")
        else:
            asked.send_response(200)
            asked.send_header("Content-Length", "1000")
            asked.end_headers()
            asked.wfile.write(b"0")
            asked.close_connection = True
        return True

    responder.before = reply
    with Tls([site], tls="ocsp: {fetch: true}") as gateway:
        assert eventually(lambda: said in gateway.process.stderr, 5.0), gateway.said()
        assert has_none(gateway.tls_port)
    assert len(responder.requests) == (3 if kind == "redirects" else 1)


def test_two_redirects_are_followed(ca, responder):
    site = issue(ca, "a.test", responder.url)

    def reply(asked, number):
        if number <= 2:
            asked.answer(307, Location=f"{responder.url}/{number}")
        return number <= 2

    responder.before = reply
    with Tls([site], tls="ocsp: {fetch: true}") as gateway:
        assert eventually(lambda: is_good(gateway.tls_port, 3), 5.0), gateway.said()


def test_the_environments_proxy_is_not_asked(ca, responder):
    site = issue(ca, "a.test", responder.url)
    with Tls([site], tls="ocsp: {fetch: true}",
             env={"http_proxy": f"http://127.0.0.1:{free_port()}", "no_proxy": ""}) as gateway:
        assert eventually(lambda: is_good(gateway.tls_port, 3), 5.0), gateway.said()


def test_a_certificate_without_responder_is_said(ca, site):
    with Tls([site], tls="ocsp: {fetch: true}") as gateway:
        checked = command("check", gateway.config_path)
        assert checked.returncode == 0
        assert "the certificate names no OCSP responder" in checked.stdout + checked.stderr
        assert "the certificate names no OCSP responder" in gateway.said()
        assert has_none(gateway.tls_port)
        assert "ringway-ocsp" not in gateway.process.thread_names()


@pytest.mark.skipif(SANITIZER is not None, reason="it waits for half a minute: once is enough")
def test_responses_are_renewed_at_half_of_their_time_and_dropped_when_revoked(ca, tmp_path):
    """Half a minute: openssl makes none that are good for less than one."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    with Responder(ca, folders[0]) as first, Responder(ca, folders[1]) as second:
        site = issue(ca, "a.test", first.url)
        other = issue(ca, "b.test", second.url)
        first.valid = second.valid = ("-nmin", 1)
        with Tls([site, other], tls="ocsp: {fetch: true}") as gateway:
            port = gateway.tls_port
            assert eventually(lambda: is_good(port, 3) and is_good(port, 3, "b.test"), 5.0)
            began = time.monotonic()
            before = update_in(stapled(port, 3))
            second.index = all_revoked(ca, tmp_path / "revoked.txt")
            time.sleep(20)
            assert len(first.requests) == 1 and is_good(port, 3, "b.test")
            assert eventually(lambda: len(first.requests) == 2 and len(second.requests) == 2, 20.0)
            assert time.monotonic() - began < patience(40)
            assert eventually(lambda: update_in(stapled(port, 3)) != before, 3.0)
            assert is_good(port, 2)
            assert eventually(lambda: has_none(port, "b.test"), 3.0)
            assert "it says that the certificate is revoked" in gateway.process.stderr

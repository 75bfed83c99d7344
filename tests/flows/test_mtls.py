"""Client certificates: who gets in, what the log calls the others, what the origin is told."""

import base64
import contextlib
import hashlib
import pathlib
import ssl

import pytest

from harness.certs import Authority, Certificate, new_key, openssl
from harness.origin import Origin
from harness.process import eventually
from harness.ringway import Quiet
from harness.tls import V12, V13, Tls, ask, connected, context, pairs

VERSIONS = pytest.mark.parametrize("version", [V12, V13])


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("clients"), "clients root")


def intermediate(authority, name):
    """An authority below another; its `cert` is its own alone."""
    made = Authority(authority.folder / name, name)
    request = made.folder / "ca.csr"
    openssl("req", "-new", "-key", made.key, "-subj", f"/CN={name}", "-out", request)
    extensions = made.folder / "ca.ext"
    extensions.write_text("basicConstraints=critical,CA:TRUE\n"
                          "keyUsage=critical,keyCertSign,cRLSign\n")
    openssl("ca", "-batch", "-config", authority.folder / "ca.conf", "-in", request,
            "-out", made.cert, "-notext", "-extfile", extensions)
    return made


def chained(leaf, *authorities):
    """The same certificate, shown with those of these authorities."""
    path = leaf.cert.with_suffix(".chain.pem")
    path.write_bytes(b"".join(p.cert.read_bytes() for p in (leaf, *authorities)))
    return Certificate(path, leaf.key)


def der(certificate):
    return ssl.PEM_cert_to_DER_cert(pathlib.Path(certificate.cert).read_text())


@pytest.fixture(scope="module")
def alice(clients):
    return clients.issue("alice", ["alice.clients.test"], usage="clientAuth")


@pytest.fixture(scope="module")
def chain(clients):
    """Certificates of 1, 2, ... authorities between the root and them."""
    made, below = [], clients
    authorities = []
    for depth in (1, 2, 3):
        below = intermediate(below, f"between-{depth}")
        authorities.insert(0, below)
        made.append(chained(below.issue(f"deep-{depth}", usage="clientAuth"), *authorities))
    return made


@pytest.fixture(scope="module")
def revoked(clients):
    made = clients.issue("mallory", usage="clientAuth")
    clients.revoke(made)
    return made


@pytest.fixture(scope="module")
def bad(clients, revoked, chain, tmp_path_factory):
    """What each refused client shows, and what the log says."""
    foreign = Authority(tmp_path_factory.mktemp("foreign"), "foreign root")
    # Same name, another key: the signature has to be looked at.
    twin = Authority(tmp_path_factory.mktemp("twin"), "clients root")
    now = {"usage": "clientAuth"}
    return {
        "expired": (clients.issue("late", days=(-3, -1), **now), "tls_certificate_expired"),
        "early": (clients.issue("early", days=(1, 3), **now), "tls_certificate_expired"),
        "foreign": (foreign.issue("stranger", **now), "tls_certificate_untrusted"),
        "twin": (twin.issue("imposter", **now), "tls_certificate_untrusted"),
        "revoked": (revoked, "tls_certificate_revoked"),
        "too deep": (chain[2], "tls_certificate_bad"),
        "server's": (clients.issue("server", usage="serverAuth"), "tls_certificate_bad"),
    }


@pytest.fixture(scope="module")
def origin():
    with Origin() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(site, clients, bad, origin):
    """`secure` requires, `asks` requests, `open` does neither; `crl` has a list of revoked ones,
    and so no chains of more than one, whose authorities have none."""
    def auth(kind, more=""):
        return (f"tls: {{certificates: {pairs([site])}, client_auth: {kind}, "
                f"client_ca: {clients.cert}{more}}}")
    services = f"""
    echo:
      url: "{origin.url}"
      routes: [{{path: /*}}]
    """
    with Tls([site], services, shards=2,
             tls=f"client_auth: require, client_ca: {clients.cert}, verify_depth: 2",
             more={"asks": auth("request", ", verify_depth: 2"),
                   "crl": auth("require", f", crl: {clients.crl()}"),
                   "shallow": auth("require", ", verify_depth: 0"),
                   "open": f"tls: {{certificates: {pairs([site])}}}"}) as running:
        yield running


class Refused(Exception):
    """The gateway ended the connection; the text is OpenSSL's name of its alert."""


def request(gateway, listener, ctx, path, more=""):
    """The status; in 1.3 a client hears only then that its certificate was not taken."""
    try:
        with connected(gateway.ports[listener], ctx) as s:
            return ask(s, path, more=more)[0]
    except ssl.SSLError as error:
        raise Refused(error.reason) from error


def received(origin, path):
    [found] = [r for r in origin.requests if r.target.decode() == path]
    return found


@VERSIONS
def test_who_has_a_certificate_is_let_in(ca, gateway, alice, origin, version):
    path = f"/alice-{version}"
    with Quiet(gateway):
        assert request(gateway, "secure", context(ca, version, version, alice), path) == 200
    tls = gateway.record(path=path)["tls"]
    assert tls["client_subject"] == "CN=alice"
    assert tls["client_fingerprint"] == hashlib.sha256(der(alice)).hexdigest()
    told = received(origin, path)
    assert told.value("Client-Cert") == b":" + base64.b64encode(der(alice)) + b":"
    assert told.values("Client-Cert-Chain") == []


@VERSIONS
@pytest.mark.parametrize("kind", ["ec", "p384", "rsa"])
def test_each_kind_of_key_proves_itself(ca, gateway, clients, kind, version):
    shown = clients.issue(f"kind-{kind}-{version}", usage="clientAuth", kind=kind)
    path = f"/{kind}-{version}"
    assert request(gateway, "secure", context(ca, version, version, shown), path) == 200
    assert gateway.record(path=path)["tls"]["client_subject"] == f"CN=kind-{kind}-{version}"


@VERSIONS
def test_the_chain_is_told_to_the_origin(ca, gateway, chain, origin, version):
    path = f"/chain-{version}"
    assert request(gateway, "secure", context(ca, version, version, chain[1]), path) == 200
    leaf, *rest = [ssl.PEM_cert_to_DER_cert(part + "-----END CERTIFICATE-----\n") for part in
                   chain[1].cert.read_text().split("-----END CERTIFICATE-----\n")[:-1]]
    told = received(origin, path)
    assert told.value("Client-Cert") == b":" + base64.b64encode(leaf) + b":"
    assert told.value("Client-Cert-Chain") == \
        b", ".join(b":" + base64.b64encode(one) + b":" for one in rest)


ALERTS = {
    "tls_certificate_expired": {"CERTIFICATE_EXPIRED"},
    "tls_certificate_untrusted": {"UNKNOWN_CA"},
    # What is wrong with it is for the log; RFC 8446 section 6.2 has several that fit.
    "tls_certificate_bad": {"BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_UNKNOWN",
                            "UNKNOWN_CA"},
}


@VERSIONS
@pytest.mark.parametrize("listener", ["secure", "asks"])
@pytest.mark.parametrize("which", ["expired", "early", "foreign", "twin", "too deep", "server's"])
def test_a_bad_certificate_is_refused_and_named(ca, gateway, bad, which, listener, version):
    shown, cause = bad[which]
    before = sum(r.get("cause") == cause for r in gateway.records())
    with Quiet(gateway), pytest.raises(Refused) as refused:
        request(gateway, listener, context(ca, version, version, shown), "/refused")
    assert any(str(refused.value).endswith(name) for name in ALERTS[cause]), refused.value
    assert eventually(lambda: sum(r.get("cause") == cause for r in gateway.records()) > before), \
        gateway.records()[-1]


@VERSIONS
def test_a_revoked_certificate_is_refused(ca, gateway, alice, bad, version):
    shown, cause = bad["revoked"]
    # wolfSSL has the more exact alert in its OpenSSL-compatible build only.
    with pytest.raises(Refused, match="CERTIFICATE_REVOKED|BAD_CERTIFICATE"):
        request(gateway, "crl", context(ca, version, version, shown), "/refused")
    gateway.record(cause=cause)
    assert request(gateway, "crl", context(ca, version, version, alice), "/by-crl") == 200


@VERSIONS
def test_without_a_list_of_its_authority_nobody_knows(ca, gateway, chain, version):
    with pytest.raises(Refused):
        request(gateway, "crl", context(ca, version, version, chain[0]), "/refused")
    gateway.record(cause="tls_certificate_revoked")


@VERSIONS
def test_a_certificate_that_is_too_large_is_named(ca, gateway, clients, version):
    large = clients.issue("large", usage="clientAuth", extra="nsComment=" + "A" * 50000 + "\n")
    before = sum(r.get("cause") == "tls_certificate_bad" for r in gateway.records())
    with Quiet(gateway), pytest.raises((ssl.SSLError, OSError, AssertionError)):
        with connected(gateway.tls_port, context(ca, version, version, large)) as s:
            ask(s)
    assert eventually(lambda: sum(r.get("cause") == "tls_certificate_bad"
                                  for r in gateway.records()) > before), gateway.records()[-1]


@VERSIONS
def test_no_certificate_is_refused_where_one_is_required(ca, gateway, version):
    with Quiet(gateway), pytest.raises(Refused) as refused:
        request(gateway, "secure", context(ca, version, version), "/refused")
    # RFC 8446 section 4.4.2.4, RFC 5246 section 7.4.6.
    wanted = {V13: "CERTIFICATE_REQUIRED", V12: "HANDSHAKE_FAILURE"}[version]
    assert str(refused.value).endswith(wanted)
    gateway.record(cause="tls_no_certificate")


@VERSIONS
def test_no_certificate_is_let_in_where_one_is_requested(ca, gateway, origin, version):
    path = f"/nobody-{version}"
    assert request(gateway, "asks", context(ca, version, version), path) == 200
    tls = gateway.record(path=path)["tls"]
    assert not tls.get("client_subject") and not tls.get("client_fingerprint")
    assert received(origin, path).values("Client-Cert") == []


def test_no_depth_means_no_authority_between(ca, gateway, alice, chain):
    assert request(gateway, "shallow", context(ca, certificate=alice), "/direct") == 200
    with pytest.raises(Refused):
        request(gateway, "shallow", context(ca, certificate=chain[0]), "/refused")


def test_a_listener_without_client_auth_asks_nobody(ca, gateway, alice, origin):
    assert request(gateway, "open", context(ca, certificate=alice), "/open") == 200
    assert received(origin, "/open").values("Client-Cert") == []
    assert not gateway.record(path="/open")["tls"].get("client_subject")


FORGED = ("Client-Cert: :Zm9yZ2Vk:\r\nclient-cert-chain: :Zm9yZ2Vk:\r\n"
          "CLIENT-CERT: :YWdhaW4=:\r\n")


@pytest.mark.parametrize("listener", ["secure", "asks", "open", "plain"])
def test_what_a_client_says_of_its_certificate_is_taken_out(ca, gateway, alice, origin, listener):
    path = f"/forged-{listener}"
    if listener == "plain":
        assert gateway.get(path, extra=FORGED.encode()).status == 200
    else:
        ctx = context(ca, certificate=alice if listener == "secure" else None)
        assert request(gateway, listener, ctx, path, more=FORGED) == 200
    told = received(origin, path)
    ours = [b":" + base64.b64encode(der(alice)) + b":"] if listener == "secure" else []
    assert told.values("Client-Cert") == ours
    assert told.values("Client-Cert-Chain") == []
    assert b"Zm9yZ2Vk" not in told.head


def test_each_of_many_connections_has_its_own_identity(ca, gateway, clients, origin):
    shown = [clients.issue(f"one-of-many-{n}", usage="clientAuth") for n in range(4)]
    with contextlib.ExitStack() as open_ones:
        conns = [open_ones.enter_context(connected(gateway.tls_port, context(ca, certificate=c)))
                 for c in shown]
        for turn in range(5):
            for n, s in enumerate(conns):
                assert ask(s, f"/many-{turn}-{n}")[0] == 200
    for turn in range(5):
        for n, c in enumerate(shown):
            assert received(origin, f"/many-{turn}-{n}").value("Client-Cert") == \
                b":" + base64.b64encode(der(c)) + b":"


@VERSIONS
def test_a_client_in_client_ca_vouches_for_nobody(ca, site, clients, alice, tmp_path, version):
    """Who pins a client's own certificate does not make an authority of its key."""
    both = tmp_path / "both.pem"
    both.write_bytes(clients.cert.read_bytes() + alice.cert.read_bytes())
    forged = Certificate(tmp_path / "forged.pem", tmp_path / "forged.key")
    new_key(forged.key)
    asked, usage = tmp_path / "forged.csr", tmp_path / "forged.ext"
    usage.write_text("extendedKeyUsage=clientAuth\n")
    openssl("req", "-new", "-key", forged.key, "-subj", "/CN=forged", "-out", asked)
    openssl("x509", "-req", "-in", asked, "-CA", alice.cert, "-CAkey", alice.key,
            "-set_serial", "7", "-days", "5", "-extfile", usage, "-out", forged.cert)
    with Tls([site], tls=f"client_auth: require, client_ca: {both}") as gateway:
        assert "vouches for nobody" in gateway.said()
        shown = context(ca, version, version, alice)
        with connected(gateway.tls_port, shown) as s:
            assert ask(s, "/hello")[0] == 200
        with pytest.raises(Refused):
            request(gateway, "secure", context(ca, version, version, forged), "/hello")
        gateway.record(cause="tls_certificate_untrusted")

"""Other people's TLS clients, each with what it can choose."""

import base64
import hashlib
import json
import os
import re
import subprocess

import pytest

from harness.certs import openssl
from harness.process import patience
from harness.ringway import Quiet, Ringway, command
from harness.tls import Tls, get, s_client

SUITES_13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
# What OpenSSL calls them: what IANA does.
SUITES_12 = {"ECDHE-{}-AES128-GCM-SHA256": "TLS_ECDHE_{}_WITH_AES_128_GCM_SHA256",
             "ECDHE-{}-AES256-GCM-SHA384": "TLS_ECDHE_{}_WITH_AES_256_GCM_SHA384",
             "ECDHE-{}-CHACHA20-POLY1305": "TLS_ECDHE_{}_WITH_CHACHA20_POLY1305_SHA256"}
GROUPS = ["X25519", "P-256", "P-384"]


@pytest.fixture(scope="module")
def gateway(site, site_rsa):
    with Tls([site, site_rsa], shards=2) as running:
        yield running


@pytest.fixture(scope="module")
def rsa_gateway(site_rsa):
    with Tls([site_rsa]) as running:
        yield running


# curl

@pytest.mark.parametrize("version,options", [("TLSv1.3", ["--tlsv1.3"]),
                                             ("TLSv1.2", ["--tls-max", "1.2"])])
def test_curl_gets_an_answer(ca, gateway, version, options):
    path = f"/hello?curl-{version}"
    with Quiet(gateway):
        done = subprocess.run(["curl", "-sS", "--fail", "--noproxy", "*", "--cacert", ca.cert,
                               *options, "--resolve", f"a.test:{gateway.tls_port}:127.0.0.1",
                               f"https://a.test:{gateway.tls_port}{path}"],
                              capture_output=True, timeout=patience(10))
        assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr
    tls = gateway.record(path=path)["tls"]
    assert (tls["version"], tls["server_name"], tls["alpn"]) == (version, "a.test", "http/1.1")


# openssl

def by_s_client(gateway, ca, path, *options):
    """The member `tls` of the record of a request that openssl made."""
    done = s_client(gateway.tls_port, "-servername", "a.test", "-verify_return_error", *options,
                    say=get(path), ca=ca)
    assert done.returncode == 0, done.stderr
    assert b"\r\n\r\nhello\n" in done.stdout
    return gateway.record(path=path)["tls"]


@pytest.mark.parametrize("suite", SUITES_13)
def test_openssl_gets_each_suite_of_13(ca, gateway, suite):
    tls = by_s_client(gateway, ca, f"/hello?{suite}", "-tls1_3", "-ciphersuites", suite)
    assert (tls["version"], tls["suite"]) == ("TLSv1.3", suite)


@pytest.mark.parametrize("suite", SUITES_12)
@pytest.mark.parametrize("key", ["ECDSA", "RSA"])
def test_openssl_gets_each_suite_of_12(ca, gateway, suite, key):
    tls = by_s_client(gateway, ca, f"/hello?{suite.format(key)}", "-tls1_2",
                      "-cipher", suite.format(key))
    assert (tls["version"], tls["suite"]) == ("TLSv1.2", SUITES_12[suite].format(key))


@pytest.mark.parametrize("suite", SUITES_13)
def test_each_suite_of_13_works_with_an_rsa_key(ca, rsa_gateway, suite):
    tls = by_s_client(rsa_gateway, ca, f"/hello?{suite}", "-tls1_3", "-ciphersuites", suite)
    assert tls["suite"] == suite


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "AES256-SHA", "ECDHE-ECDSA-AES128-SHA",
                                   "ECDHE-RSA-AES256-SHA384", "DHE-RSA-AES128-GCM-SHA256"])
def test_a_suite_without_secrecy_to_come_or_with_cbc_is_refused(gateway, suite):
    done = s_client(gateway.tls_port, "-servername", "a.test", "-tls1_2", "-cipher",
                    f"{suite}:@SECLEVEL=0")
    assert done.returncode != 0 and b"handshake failure" in done.stderr, done.stderr
    gateway.record(cause="tls_nothing_shared")


# OpenSSL 3.0 and GnuTLS 3.7 cannot offer it. A gateway in front of another one can, last in its
# list: so there is a HelloRetryRequest as well. Chromium (below) offers it first.
def test_the_hybrid_group_is_spoken(ca, site):
    if "x25519mlkem768" not in command("version").stdout:
        pytest.skip("the linked wolfSSL does not have it")
    with Tls([site], tls='groups: [X25519MLKEM768], min_version: "1.3"') as inner:
        with Ringway(f"""
            inner:
              url: "https://127.0.0.1:{inner.tls_port}"
              tls: {{ca: {ca.cert}, server_name: a.test}}
              routes: [{{path: /hello}}]
            """) as outer, outer.client() as client:
            assert client.get("/hello").status == 200
        assert inner.record(path="/hello")["tls"]["group"] == "X25519MLKEM768"


# With an RSA key, since in 1.2 the list of groups is that of the certificate's curves, too.
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("group", GROUPS)
def test_openssl_gets_each_group(ca, rsa_gateway, group, version):
    tls = by_s_client(rsa_gateway, ca, f"/hello?{group}{version}", version, "-groups", group)
    assert tls["group"] == group


# GnuTLS

GNUTLS = {
    "1.3": ("NORMAL:-VERS-ALL:+VERS-TLS1.3", "TLSv1.3"),
    "1.2": ("NORMAL:-VERS-ALL:+VERS-TLS1.2", "TLSv1.2"),
    "1.3 P-256": ("NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP256R1", "TLSv1.3"),
    "1.3 P-384": ("NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP384R1", "TLSv1.3"),
    "1.3 chacha": ("NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305", "TLSv1.3"),
    "1.2 chacha": ("NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+CHACHA20-POLY1305", "TLSv1.2"),
    "1.2 RSA": ("NORMAL:-VERS-ALL:+VERS-TLS1.2:-SIGN-ALL:+SIGN-RSA-SHA256:+SIGN-RSA-PSS-RSAE-SHA256",
                "TLSv1.2"),
    "compatible": ("NORMAL:%COMPAT", "TLSv1.3"),
}


def gnutls(gateway, ca, *options, say):
    return subprocess.run(["gnutls-cli", "--x509cafile", ca.cert, "--sni-hostname", "a.test",
                           "--verify-hostname", "a.test", "--port", str(gateway.tls_port),
                           *options, "127.0.0.1"], input=say, capture_output=True,
                          timeout=patience(15))


@pytest.mark.parametrize("name", GNUTLS)
def test_gnutls_gets_an_answer(ca, gateway, name):
    priority, version = GNUTLS[name]
    path = f"/hello?gnutls-{name.replace(' ', '-')}"
    done = gnutls(gateway, ca, "--priority", priority, "--alpn", "http/1.1", say=get(path))
    assert done.returncode == 0, done.stderr
    assert b"\r\n\r\nhello\n" in done.stdout, done.stdout
    tls = gateway.record(path=path)["tls"]
    assert (tls["version"], tls["alpn"]) == (version, "http/1.1")


def test_gnutls_resumes(ca, gateway):
    done = gnutls(gateway, ca, "--resume", say=get("/hello?gnutls-resumed"))
    assert b"This is a resumed session" in done.stdout, done.stdout
    assert gateway.record(path="/hello?gnutls-resumed")["tls"]["resumed"] is True


# Those that take their time

@pytest.fixture()
def whole(full):
    if not full:
        pytest.skip("RINGWAY_FULL=1 runs it")


def test_chromium_shows_the_page(whole, gateway, site, tmp_path):
    # A private authority is trusted for this one key; the switch wants a profile of its own.
    public = openssl("x509", "-in", site.cert, "-pubkey", "-noout").stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public,
                         capture_output=True, check=True).stdout
    pin = base64.b64encode(hashlib.sha256(der).digest()).decode()
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server",
         f"--user-data-dir={tmp_path}", f"--ignore-certificate-errors-spki-list={pin}",
         "--host-resolver-rules=MAP a.test 127.0.0.1", "--dump-dom",
         f"https://a.test:{gateway.tls_port}/hello?chromium"],
        capture_output=True, timeout=patience(60), env={**os.environ, "HOME": str(tmp_path)})
    assert b"hello" in done.stdout, done.stderr
    tls = gateway.record(path="/hello?chromium")["tls"]
    assert (tls["version"], tls["server_name"], tls["alpn"]) == ("TLSv1.3", "a.test", "http/1.1")
    if "x25519mlkem768" in command("version").stdout:
        assert tls["group"] == "X25519MLKEM768"


# What testssl says of any authority that no browser knows.
PRIVATE_CA = {"cert_chain_of_trust", "cert_trust", "cert_revocation", "cert_crlDistributionPoints"}


def test_testssl_finds_nothing_high(whole, gateway, ca, tmp_path):
    report = tmp_path / "report.json"
    command = ["testssl", "-p", "-s", "-f", "-P", "-S", "-U", "--ip", "127.0.0.1",
               "--warnings", "batch", "--color", "0", "--add-ca", ca.cert,
               "--jsonfile", report, f"a.test:{gateway.tls_port}"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=patience(900))
    findings = json.loads(report.read_text())
    # It ends with the count of what it found, and the ids of a run that broke off are few.
    assert len(findings) > 60, done.stdout
    bad = [f for f in findings if f["severity"] in ("HIGH", "CRITICAL", "FATAL")
           and re.sub(r" <.*>", "", f["id"]) not in PRIVATE_CA]
    assert not bad, bad

"""Certificates that change while clients are served."""

import hashlib
import json
import os
import shutil
import ssl
import threading
import time

import pytest

from harness.certs import Authority, Certificate
from harness.process import eventually
from harness.ringway import Quiet
from harness.tls import Tls, ask, connected, context, pairs

# A look per second, and a second in which the file stands still.
SEEN_S = 3.0


def fingerprint(certificate):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.cert.read_text())).hexdigest()


def shown(ca, gateway, name="a.test"):
    with connected(gateway.tls_port, context(ca), name) as s:
        return hashlib.sha256(s.getpeercert(binary_form=True)).hexdigest()


def put(fresh, place):
    """As tools do it: written aside, then moved into place, the key first."""
    for source, target in ((fresh.key, place.key), (fresh.cert, place.cert)):
        aside = target.with_suffix(".new")
        shutil.copy(source, aside)
        os.rename(aside, target)


@pytest.fixture()
def place(site, tmp_path):
    """A pair of files of this test's own, with the certificate of `site`."""
    made = Certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    put(site, made)
    return made


@pytest.fixture(scope="module")
def fresh(ca):
    return [ca.issue(f"fresh-{n}", ["a.test"], kind=("ec", "p384", "rsa")[n % 3])
            for n in range(4)]


class Load:
    """Requests on kept connections and on new ones, some of them resumed; what failed."""

    def __init__(self, ca, port):
        self.ca, self.port = ca, port
        self.done = [0] * 4
        self.failed = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(4)]

    def _run(self, n):
        try:
            self._keep(n) if n < 2 else self._renew(n)
        except Exception as error:
            self.failed.append(repr(error))

    def _keep(self, n):
        with connected(self.port, context(self.ca)) as s:
            while not self.stop.is_set():
                assert ask(s) == (200, b"hello\n")
                self.done[n] += 1
                time.sleep(0.002)

    def _renew(self, n):
        ctx, session = context(self.ca), None
        while not self.stop.is_set():
            with connected(self.port, ctx, session=session) as s:
                assert ask(s) == (200, b"hello\n")
                self.done[n] += 1
                session = s.session if n == 3 else None

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_certificates_change_under_load_without_a_failed_request(ca, place, fresh, full):
    """Every second time the files are found out, in between a reload is asked for."""
    with Tls([place], shards=2) as gateway:
        with Quiet(gateway), Load(ca, gateway.tls_port) as load:
            for n in range(100 if full else 8):
                one = fresh[n % len(fresh)]
                put(one, place)
                if n % 2 and not full:
                    assert gateway.admin("reload").returncode == 0
                    assert shown(ca, gateway) == fingerprint(one)
                assert eventually(lambda: shown(ca, gateway) == fingerprint(one), SEEN_S), n
                assert not load.failed
        assert not load.failed
        assert min(load.done) > 50, load.done


def spoil(place, how, fresh):
    if how == "another key":
        shutil.copy(fresh.key, place.key)
        return place.key
    if how == "no certificate":
        place.cert.write_text("this is no certificate\n")
    elif how == "half a certificate":
        place.cert.write_text(place.cert.read_text()[:300])
    elif how == "empty key":
        place.key.write_text("")
        return place.key
    elif how == "gone":
        place.cert.unlink()
    return place.cert


def errors(gateway, file, since):
    """Events of level error that name the file."""
    events = [json.loads(line) for line in gateway.process.stderr[since:].splitlines()
              if line.startswith("{")]
    return [e["message"] for e in events if e["level"] == "error" and str(file) in e["message"]]


def test_a_bad_pair_changes_nothing_and_is_named(ca, site, place, fresh, full):
    ways = ["another key", "half a certificate"] + ["no certificate", "empty key"] * full
    with Tls([place]) as gateway, Load(ca, gateway.tls_port) as load:
        for how in ways:
            before = len(gateway.process.stderr)
            file = spoil(place, how, fresh[0])
            assert eventually(lambda: errors(gateway, file, before), SEEN_S), how
            # The file, and behind it what is wrong.
            assert len(errors(gateway, file, before)[0].split(f"{file}: ")[1]) > 5
            assert shown(ca, gateway) == fingerprint(site)
        # What is put right is taken up again.
        put(fresh[1], place)
        assert eventually(lambda: shown(ca, gateway) == fingerprint(fresh[1]), SEEN_S)
        assert not load.failed


@pytest.mark.parametrize("how", ["another key", "no certificate", "half a certificate",
                                 "empty key", "gone"])
def test_a_reload_with_a_bad_pair_fails_and_changes_nothing(ca, site, place, fresh, how):
    with Tls([place]) as gateway, Load(ca, gateway.tls_port) as load:
        file = spoil(place, how, fresh[0])
        done = gateway.admin("reload")
        assert done.returncode == 1
        assert str(file) in done.stdout + done.stderr
        assert "gateway.yaml:" in done.stdout + done.stderr
        assert shown(ca, gateway) == fingerprint(site)
        put(fresh[1], place)
        assert gateway.admin("reload").returncode == 0
        assert shown(ca, gateway) == fingerprint(fresh[1])
        assert not load.failed


def test_a_start_with_a_bad_pair_fails(place, fresh):
    spoil(place, "another key", fresh[0])
    gateway = Tls([place])
    with pytest.raises(AssertionError, match="key.pem"):
        gateway.__enter__()     # which throws its folder away


def test_a_file_that_is_gone_for_a_while_is_waited_for(ca, site, place, fresh):
    with Tls([place]) as gateway:
        place.cert.unlink()
        time.sleep(2.2)
        assert shown(ca, gateway) == fingerprint(site)
        assert str(place.cert) not in gateway.process.stderr
        put(fresh[0], place)
        assert eventually(lambda: shown(ca, gateway) == fingerprint(fresh[0]), SEEN_S)


def test_a_second_certificate_is_added_and_taken_away_by_reload(ca, site, other_site):
    with Tls([site]) as gateway:
        with connected(gateway.tls_port, context(ca)) as kept, Load(ca, gateway.tls_port) as load:
            assert ask(kept) == (200, b"hello\n")
            gateway.set_listener("secure",
                                 f"tls: {{certificates: {pairs([site, other_site])}}}")
            gateway.write_config()
            done = gateway.admin("reload")
            assert done.returncode == 0, done.stdout + done.stderr
            assert shown(ca, gateway, "other.test") == fingerprint(other_site)
            assert shown(ca, gateway) == fingerprint(site)
            gateway.set_listener("secure", f"tls: {{certificates: {pairs([site])}}}")
            gateway.write_config()
            assert gateway.admin("reload").returncode == 0
            with pytest.raises(ssl.SSLCertVerificationError):
                shown(ca, gateway, "other.test")
            assert ask(kept) == (200, b"hello\n")
            assert not load.failed


def test_a_client_authority_is_swapped_with_its_file(ca, site, tmp_path):
    old, new = (Authority(tmp_path / name, name) for name in ("old", "new"))
    file = tmp_path / "clients.pem"
    shutil.copyfile(old.cert, file)
    of_old = context(ca, certificate=old.issue("one", usage="clientAuth"))
    of_new = context(ca, certificate=new.issue("two", usage="clientAuth"))

    def let_in(gateway, ctx):
        try:
            with connected(gateway.tls_port, ctx) as s:
                return ask(s)[0] == 200
        except OSError:
            return False
    with Tls([site], tls=f"client_auth: require, client_ca: {file}") as gateway:
        assert let_in(gateway, of_old) and not let_in(gateway, of_new)
        shutil.copyfile(new.cert, file)
        assert eventually(lambda: let_in(gateway, of_new), SEEN_S, every_s=0.2)
        assert not let_in(gateway, of_old)


@pytest.mark.parametrize("which", ["cert", "client_ca", "crl"])
def test_a_fifo_in_place_of_a_file_is_refused_and_holds_up_nothing(ca, site, place, tmp_path,
                                                                    which):
    paths = {"cert": place.cert, "client_ca": tmp_path / "ca.pem", "crl": tmp_path / "crl.pem"}
    shutil.copy(ca.cert, paths["client_ca"])
    shutil.copy(ca.crl(), paths["crl"])
    with Tls([place], tls=f"client_auth: request, client_ca: {paths['client_ca']}, "
                          f"crl: {paths['crl']}") as gateway:
        paths[which].unlink()
        os.mkfifo(paths[which])
        done = gateway.admin("reload")
        assert done.returncode == 1
        assert f"{paths[which]}: " in done.stderr    # the file that is at fault, no other
        assert shown(ca, gateway) == fingerprint(site)

"""The flow tests drive the real binary: build/ringway, or what RINGWAY names."""

import os

import pytest

from harness.certs import Authority
from harness.nginx import Nginx
from harness.process import BINARY


def pytest_configure(config):
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"{BINARY} is not there: build it, or set RINGWAY", returncode=2)


@pytest.fixture(scope="session")
def full():
    """RINGWAY_FULL=1 runs the counts and sizes that the acceptance asks for."""
    return os.environ.get("RINGWAY_FULL") == "1"


@pytest.fixture(scope="session")
def nginx():
    with Nginx() as server:
        yield server


# The names of all certificates that the listeners of the TLS tests have.
SITE = ["a.test", "*.b.test", "localhost"]


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def site(ca):
    return ca.issue("a.test", SITE)


@pytest.fixture(scope="session")
def site_rsa(ca):
    return ca.issue("a-rsa.test", SITE, kind="rsa")


@pytest.fixture(scope="session")
def other_site(ca):
    return ca.issue("other.test", ["other.test", "exact.b.test"])

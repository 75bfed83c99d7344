"""The flow tests drive the real binary: build/ringway, or what RINGWAY names."""

import os

import pytest

from harness.process import BINARY
from harness.nginx import Nginx


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

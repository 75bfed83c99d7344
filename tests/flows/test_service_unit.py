"""configs/ringway.service: systemd understands it, and it calls the binary as it wants to be."""

import re
import shlex
import shutil
import subprocess

import pytest

from harness.process import BINARY, TREE, patience
from harness.ringway import Ringway

UNIT = (TREE / "configs" / "ringway.service").read_text()
INSTALLED = "/usr/local/bin/ringway"


def command_of(key):
    """Its arguments behind the binary's path."""
    line, = re.findall(rf"^{key}=(.*)", UNIT, re.M)
    binary, *arguments = shlex.split(line)
    assert binary == INSTALLED
    return arguments


def seconds_of(key):
    return int(re.search(rf"^{key}=(\d+)s$", UNIT, re.M)[1])


def test_systemd_has_nothing_to_say(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    unit = tmp_path / "ringway.service"
    unit.write_text(UNIT.replace(INSTALLED, str(BINARY)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True,
                          text=True, timeout=patience(30))
    # It looks at what else the host has, too.
    said = [line for line in (done.stdout + done.stderr).splitlines() if "ringway" in line]
    assert (done.returncode, said) == (0, [])


def test_it_starts_and_reloads_as_the_commands_want_it():
    verb, path = command_of("ExecStart")
    assert verb == "run" and path == "/etc/ringway/gateway.yaml"
    with Ringway("hi:\n  respond: {status: 200}\n  routes: [{path: /*}]\n") as ringway:
        done = ringway.admin(*command_of("ExecReload"))
        assert (done.returncode, done.stderr) == (0, "")
        assert ringway.status()["generation"] == 2


def test_a_stop_may_last_longer_than_a_drain():
    config = (TREE / "docs" / "config.md").read_text()
    drain = int(re.search(r"^\| `drain` \|.*; `(\d+)s` \|", config, re.M)[1])
    assert seconds_of("TimeoutStopSec") > drain


def test_the_filters_leave_io_uring_alone():
    """The group of calls that it allows, as systemd knows it, has what a shard stands on."""
    group, = re.findall(r"^SystemCallFilter=(@\S+)$", UNIT, re.M)
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")

    def calls(name):
        said = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True,
                              capture_output=True, text=True, timeout=patience(30)).stdout
        words = [line.strip() for line in said.splitlines() if line.startswith(" ")]
        found = set()
        for word in words:
            found |= calls(word) if word.startswith("@") else {word}
        return found

    assert calls(group) >= {"io_uring_setup", "io_uring_enter", "io_uring_register",
                            "sched_setaffinity", "mlock", "prlimit64"}

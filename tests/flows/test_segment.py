"""The memory that shards share: one memfd that nobody else can name, read or find in a dump."""

import fcntl
import os
import pathlib
import re
import struct
import subprocess

import pytest

from harness.origin import Origin
from harness.process import BINARY
from harness.ringway import Ringway

NAME = "memfd:ringway-private"


@pytest.fixture
def gateway():
    with Origin() as origin, \
            Ringway(f'all: {{url: "{origin.url}", routes: [{{path: "/*"}}]}}',
                    shards=2) as instance:
        yield instance


def mappings(pid):
    """Of the memfd: (permissions, flags, bytes) of each."""
    found, ours = [], False
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as smaps:
        for line in smaps:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ", line)
            if head:
                ours = NAME in line
                size = int(head[2], 16) - int(head[1], 16)
                permissions = head[3]
            elif ours and line.startswith("VmFlags:"):
                found.append((permissions, line.split()[1:], size))
    return found


def descriptors(pid):
    folder = f"/proc/{pid}/fd"
    return [f"{folder}/{n}" for n in os.listdir(folder)
            if NAME in os.readlink(f"{folder}/{n}")]


def segment(name):
    """A named segment as base/segment.c lays it out: one page, and one that says so."""
    path = pathlib.Path(f"/dev/shm/ringway-flow-{os.getpid()}-{name}")
    page = os.sysconf("SC_PAGESIZE")
    path.write_bytes(bytes(page) + struct.pack("24sQ", b"ringway shared segment\n", page)
                     .ljust(page, b"\0"))
    return path


def test_a_start_removes_what_dead_processes_left_and_nothing_else():
    stale, live, foreign = segment("stale"), segment("live"), segment("foreign")
    foreign.write_bytes(b"precious")
    try:
        with open(live, "r+b") as owner, Origin() as origin:
            lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
            fcntl.fcntl(owner, 37, lock)  # F_OFD_SETLK
            with Ringway(f'all: {{url: "{origin.url}", routes: [{{path: "/*"}}]}}') as gateway:
                assert "of dead processes" in gateway.said()
                assert not stale.exists()
                assert live.exists()
                assert foreign.read_bytes() == b"precious"
    finally:
        for path in (stale, live, foreign):
            path.unlink(missing_ok=True)


def test_the_private_mapping_is_shared_and_left_out_of_dumps(gateway):
    found = mappings(gateway.process.child.pid)
    assert found
    for permissions, flags, _ in found:
        assert permissions == "rw-s"
        assert "dd" in flags


def test_the_private_mapping_has_no_name_in_dev_shm(gateway):
    links = descriptors(gateway.process.child.pid)
    assert len(links) == 1
    inode = os.stat(links[0]).st_ino
    device = os.stat(links[0]).st_dev
    for entry in os.scandir("/dev/shm"):
        status = entry.stat(follow_symlinks=False)
        assert (status.st_dev, status.st_ino) != (device, inode)
        assert "private" not in entry.name
    assert os.stat(links[0]).st_nlink == 0


def test_every_page_is_there_before_the_first_request(gateway):
    links = descriptors(gateway.process.child.pid)
    status = os.stat(links[0])
    assert status.st_size > 0
    assert status.st_blocks * 512 >= status.st_size
    assert sum(size for _, _, size in mappings(gateway.process.child.pid)) >= status.st_size


def test_room_for_keys_is_what_the_config_says():
    def size_of(runtime):
        with Ringway('all: {url: "http://127.0.0.1:9", routes: [{path: "/*"}]}',
                     runtime=runtime) as instance:
            return os.stat(descriptors(instance.process.child.pid)[0]).st_size

    small = size_of("limit_keys: 1024, limit_windows: 1024")
    keys = size_of("limit_keys: 501024, limit_windows: 1024")
    # Slots of 16 bytes, in a table that may be rounded up.
    assert 16 * 500000 <= keys - small < 48 * 500000


def test_the_banner_says_what_it_costs(gateway):
    size = os.stat(descriptors(gateway.process.child.pid)[0]).st_size
    said = re.search(r"shared by the shards: ([0-9.]+) (KiB|MiB) in a private mapping, (.*)",
                     gateway.process.stderr)
    assert said, gateway.process.stderr
    unit = {"KiB": 1024, "MiB": 1024 ** 2}[said[2]]
    assert abs(float(said[1]) * unit - size) <= unit / 10
    assert said[3] in ("no huge pages", "transparent huge pages",
                       "huge pages that were set aside")


def test_letters_go_through_the_mapping(gateway):
    # More of them than a ring holds: status asks every shard by letter, which answers by one.
    for _ in range(300):
        assert len(gateway.status()["shards"]) == 2
    assert gateway.admin("reload").returncode == 0
    assert gateway.get("/").status == 200


def test_a_host_without_room_is_told_how_many_bytes_are_missing(tmp_path):
    # A mount namespace in which the kernel says that there is little memory.
    (tmp_path / "meminfo").write_text("MemTotal: 64 kB\nMemAvailable: 64 kB\n")
    inside = f"mount --bind {tmp_path}/meminfo /proc/meminfo"
    if subprocess.run(["unshare", "-m", "sh", "-c", inside], capture_output=True,
                      check=False).returncode != 0:
        pytest.skip("needs the right to mount")
    gateway = Ringway('all: {url: "http://127.0.0.1:9", routes: [{path: "/*"}]}')
    try:
        gateway.pick_ports()
        gateway.write_config()
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c",
             f"{inside} && exec {BINARY} run {gateway.config_path}"],
            capture_output=True, text=True, timeout=20, check=False)
    finally:
        gateway.discard()
    assert done.returncode == 1
    said = re.search(r"takes (\d+) bytes, of which (\d+) are missing; lower runtime.limit_keys",
                     done.stderr)
    assert said, done.stderr
    assert int(said[1]) - int(said[2]) == 64 * 1024

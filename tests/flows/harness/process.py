"""Processes under test: started in a folder of their own, watched, ended by their pid."""

import collections
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

TREE = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.get("RINGWAY", TREE / "build" / "ringway")).absolute()


def _sanitizer():
    """Which sanitizer the binary carries: its runtime's entry point is a symbol of it."""
    try:
        image = BINARY.read_bytes()
    except OSError:
        return None
    for name in ("asan", "tsan"):
        if f"__{name}_init".encode() in image:
            return name
    return None


SANITIZER = _sanitizer()
# The thread sanitizer slows code down five to fifteen times, the address sanitizer twice.
SLOWNESS = float(os.environ.get("RINGWAY_SLOWNESS", {"tsan": 6, "asan": 3}.get(SANITIZER, 1)))


def patience(seconds):
    """A bound on waiting for something that should come, stretched for slow builds."""
    return seconds * SLOWNESS


# The kernel gives a port again as soon as nobody has it, also for the next line of a config.
_given_ports = collections.deque(maxlen=500)


def free_port():
    """A port that was free a moment ago, and that nobody here was given lately; who binds it
    must be ready to lose the race."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _given_ports:
            _given_ports.append(port)
            return port


def eventually(predicate, timeout_s=5.0, every_s=0.02):
    """Polls until predicate() is true and returns its value; the last value when it never is."""
    deadline = time.monotonic() + patience(timeout_s)
    while True:
        value = predicate()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(every_s)


class Process:
    """A child whose output goes to files in `folder`."""

    def __init__(self, command, folder, name, env=None, preexec=None):
        self.folder = pathlib.Path(folder)
        self.stdout_path = self.folder / f"{name}.stdout"
        self.stderr_path = self.folder / f"{name}.stderr"
        with open(self.stdout_path, "ab") as out, open(self.stderr_path, "ab") as err:
            self.child = subprocess.Popen([str(part) for part in command], cwd=self.folder,
                                          stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                          env=env, preexec_fn=preexec)

    @property
    def pid(self):
        return self.child.pid

    @property
    def stdout(self):
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def running(self):
        return self.child.poll() is None

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, timeout_s=10.0):
        """The exit code; negative is the signal that ended it."""
        return self.child.wait(patience(timeout_s))

    def kill(self):
        if self.running():
            self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    # What the kernel says about the process.

    def rss(self):
        """Resident bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def thread_names(self):
        names = []
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            try:
                names.append((task / "comm").read_text().strip())
            except OSError:
                pass            # the thread ended while we looked
        return names

    def io_workers(self):
        """Threads that io_uring started because an operation could not run by itself."""
        return [name for name in self.thread_names() if name.startswith("iou-wrk")]

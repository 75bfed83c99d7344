"""The binary under test: a config, free ports, a folder of its own, and its admin side."""

import itertools
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import textwrap
import urllib.error
import urllib.request

from .client import RawClient
from .process import BINARY, Process, eventually, free_port, patience

_numbers = itertools.count()

# `ringway status --json` must show these; each is summed over the shards, and each is back at
# its earlier value once nothing is in flight. Idle upstream connections are no leak, so they
# are left out and looked at by themselves.
GAUGES = ("connections", "exchanges", "upstream_busy", "buffers_lent")


def command(*arguments, cwd=None, env=None, timeout_s=20.0):
    """Runs the binary to its end."""
    return subprocess.run([str(BINARY), *[str(a) for a in arguments]], cwd=cwd, env=env,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=patience(timeout_s))


class Ringway:
    """`services` is the YAML below the `services:` key; `top` is YAML at the top level.

    Everything else that a test sets is a flow mapping of one line, `client="body_idle: 1s"`."""

    def __init__(self, services, *, top="", gateway="", client="", runtime="", logging="",
                 log_format="json", shards=1, drain="2s", fd_limit=None, env=None, options=()):
        number = next(_numbers)
        # Short, since the path of a unix socket may be no longer than 107 bytes.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ringway-"))
        self.instance = f"flow-{os.getpid()}-{number}"
        self.config_path = self.folder / "gateway.yaml"
        self.log_path = self.folder / "ringway.log"
        self.socket_path = self.folder / "admin.sock"
        self.fd_limit = fd_limit
        self.options = options
        self.env = {**os.environ, **(env or {})}
        self._blocks = {"services": services, "top": top}
        self._lines = {
            "gateway": gateway,
            "client": client,
            "runtime": ", ".join(filter(None, [f"shards: {shards}, drain: {drain}", runtime])),
            "logging": ", ".join(filter(None, [f"level: info, format: {log_format}",
                                               f'output: "{self.log_path}"', logging])),
        }
        self.process = None
        self.expect_code = 0

    # Life

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.discard()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
        finally:
            self.discard()

    def start(self):
        """Starts and waits for /ready. A port that somebody took meanwhile is picked again."""
        for attempt in range(3):
            self.pick_ports()
            self.write_config()
            self.process = Process([BINARY, "run", self.config_path, *self.options],
                                   self.folder,
                                   f"run{attempt}", self.env, self._limit_fds)
            if eventually(lambda: not self.process.running() or self.ready(), 15.0) \
                    and self.process.running():
                return
            if "in use" not in self.said():
                break
        code = self.process.child.poll()
        self.process.kill()
        raise AssertionError(f"ringway is not ready, exit code {code}:\n{self.said()}")

    def pick_ports(self):
        self.port, self.metrics_port = free_port(), free_port()

    def _limit_fds(self):
        if self.fd_limit:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.fd_limit, self.fd_limit))

    def stop(self):
        """SIGTERM must end it with 0, and no sanitizer may have had a word to say."""
        if self.process.running():
            self.process.signal(signal.SIGTERM)
            try:
                code = self.process.wait(15.0)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"still there after SIGTERM:\n{self.said()}") from None
        else:
            code = self.process.wait()
        said = self.said()
        assert "Sanitizer" not in said, said
        assert code == self.expect_code, f"exit code {code}:\n{said}"

    def discard(self):
        if self.process:
            self.process.kill()
            if "Sanitizer" in self.process.stderr:
                print(self.process.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)

    def said(self):
        log = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return self.process.stderr + self.process.stdout + log[-4000:]

    # Config

    def config_text(self):
        services = textwrap.indent(textwrap.dedent(self._blocks["services"]).strip(), "  ")
        lines = self._lines
        gateway = ", ".join(filter(None, [f"host: 127.0.0.1, port: {self.port}",
                                          lines["gateway"]]))
        client = f"client: {{{lines['client']}}}\n" if lines["client"] else ""
        return (f"version: 1\n"
                f"instance: {self.instance}\n"
                f"gateway: {{{gateway}}}\n"
                f"runtime: {{{lines['runtime']}}}\n"
                f"{client}"
                f"admin: {{socket: {self.socket_path}}}\n"
                f"monitoring:\n"
                f"  metrics_port: {self.metrics_port}\n"
                f"  logging: {{{lines['logging']}}}\n"
                f"services:\n{services}\n"
                f"{textwrap.dedent(self._blocks['top']).strip()}\n")

    def write_config(self, services=None):
        if services is not None:
            self._blocks["services"] = services
        self.config_path.write_text(self.config_text())

    # Talking to it

    def client(self, **options):
        return RawClient(self.port, **options)

    def get(self, path="/", **options):
        """One request on a connection of its own."""
        with self.client() as client:
            return client.get(path, **options)

    def probe(self, path):
        """Status of a path on the metrics port; None when nobody answers."""
        try:
            url = f"http://127.0.0.1:{self.metrics_port}{path}"
            with urllib.request.urlopen(url, timeout=patience(2.0)) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def ready(self):
        return self.probe("/ready") == 200

    def admin(self, *arguments, timeout_s=20.0):
        """`ringway reload`, `ringway status`, ... against this instance's admin socket."""
        return command(arguments[0], "--socket", self.socket_path, *arguments[1:],
                       cwd=self.folder, timeout_s=timeout_s)

    def status(self):
        done = self.admin("status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def gauges(self):
        """What is in flight now, summed over the shards."""
        shards = self.status()["shards"]
        return {name: sum(shard[name] for shard in shards) for name in GAUGES}

    # What it logged

    def records(self):
        """Access records in the order of their ends (events of the process go to stderr).
        A line that the writer has not ended yet does not count."""
        if not self.log_path.exists():
            return []
        lines = self.log_path.read_bytes().decode().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def record(self, **wanted):
        """The record whose members have these values; waits for the writer thread."""
        def find():
            for record in self.records():
                if all(record.get(name) == value for name, value in wanted.items()):
                    return record
            return None
        found = eventually(find)
        assert found, f"no record with {wanted}; there are {self.records()[-5:]}"
        return found


class Quiet:
    """Checks that what ran inside left nothing behind: connections, exchanges, upstream
    connections in use, lent buffers, descriptors, io_uring workers.

    Idle upstream connections keep their descriptor, so the limit on descriptors is what was
    open before plus those. It begins and ends with no client connected."""

    def __init__(self, ringway):
        self.ringway = ringway

    def __enter__(self):
        def settled():
            gauges = self.ringway.gauges()
            return not (gauges["connections"] or gauges["exchanges"] or gauges["upstream_busy"])
        assert eventually(settled), f"still in flight from before: {self.ringway.gauges()}"
        self.gauges = self.ringway.gauges()
        self.fds = self.ringway.process.fd_count() - self.idle()
        return self

    def idle(self):
        return sum(shard["upstream_idle"] for shard in self.ringway.status()["shards"])

    def __exit__(self, kind, *_):
        if kind is not None:
            return
        ringway = self.ringway
        eventually(lambda: ringway.gauges() == self.gauges, every_s=0.1)
        assert ringway.gauges() == self.gauges, "something was not given back"
        # The connection that asks for the status is open while it is counted, at times.
        assert eventually(lambda: ringway.process.fd_count() - self.idle() <= self.fds,
                          every_s=0.1), "a descriptor is left open"
        assert ringway.process.io_workers() == []

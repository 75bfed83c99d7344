"""configs/examples: each is good, and each does what the comment on top of it promises.

The comment's lines are run as they stand, in a folder that looks like the examples' own; only
the ports and the names of the instances are others, so that several of us can run at once."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

from harness.process import BINARY, TREE, Process, eventually, free_port, patience
from harness.ringway import command

EXAMPLES = TREE / "configs" / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))
PORTS = ("8080", "8081", "8443", "9000", "9001", "9090")
# What stands behind a line: a status, and after a space what the answer holds; words behind a
# comma or a colon are for people. Or that curl gets no answer.
PROMISE = re.compile(r"(?:(?P<status>\d{3})(?:[,:].*| (?P<text>.*))?|fails: .*)")


def comment_of(text):
    return re.match(r"(?:#.*\n)+", text)[0]


def lines_of(text):
    """The commands of a comment, each with what is promised of it or None."""
    return re.findall(r"^#   (\S.*?)(?: +# (.*))?$", comment_of(text), re.M)


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples") / "certs"
    subprocess.run(["bash", EXAMPLES / "certificates.sh", folder], check=True,
                   capture_output=True, timeout=patience(30))
    return folder


class Trial:
    """A copy of the examples with free ports, and what runs of it."""

    def __init__(self, name, folder, certs):
        self.name, self.folder = name, folder
        self.env = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder),
                    "no_proxy": "*"}
        self.env.pop("CERTS", None)
        (folder / "certs").symlink_to(certs)
        self.running = {}

    def copy(self):
        ports = {port: str(free_port()) for port in PORTS}
        for number, name in enumerate(NAMES):
            text = (EXAMPLES / name).read_text()
            text = re.sub(r"\b(%s)\b" % "|".join(PORTS), lambda m: ports[m[0]], text)
            text = re.sub(r"(?m)^instance: \S+", f"instance: ex-{os.getpid()}-{number}", text)
            (self.folder / name).write_text(text)
        self.lines = lines_of((self.folder / self.name).read_text())

    def start(self):
        """True when all of it is ready, False when a port was taken meanwhile."""
        self.copy()
        for line, _ in self.lines:
            if not line.startswith("ringway "):
                continue
            process = Process([BINARY, *line.split()[1:]], self.folder,
                              f"run{len(self.running)}", self.env)
            self.running[line] = process
            eventually(lambda: not process.running() or "ready" in process.stderr, 15.0)
            if not process.running() or "ready" not in process.stderr:
                assert "in use" in process.stderr, f"{line}: {process.stderr}"
                return False
        return True

    def __enter__(self):
        try:
            for _ in range(3):
                if self.start():
                    return self
                self.kill()
            raise AssertionError("no port stays free")
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind, *_):
        try:
            # The gateways first, so that they are not the ones that lose their service.
            for line, process in reversed(self.running.items()) if kind is None else ():
                process.signal(signal.SIGTERM)
                assert process.wait() == 0, f"{line}: {process.stderr}"
        finally:
            self.kill()

    def kill(self):
        for process in self.running.values():
            process.kill()
        self.running.clear()

    def said(self):
        return "\n".join(process.stderr + process.stdout for process in self.running.values())

    def try_line(self, line, promise):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=self.folder,
                              env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=patience(20))
        answer = done.stdout.decode(errors="replace")
        what = f"{line}\n{answer[-2000:]}\n{done.stderr.decode()}\n{self.said()[-2000:]}"
        statuses = re.findall(r"(?m)^HTTP/1\.1 (\d{3})\b", answer)
        wanted = PROMISE.fullmatch(promise)
        if wanted["status"] is None:
            assert done.returncode != 0 and not statuses, what
            return
        assert statuses and statuses[-1] == wanted["status"], what
        assert (wanted["text"] or "") in answer, what


@pytest.fixture
def trial(certs):
    with contextlib.ExitStack() as stack:
        # Not pytest's own: the path of a unix socket may be no longer than 107 bytes.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ringway-"))
        yield lambda name: stack.enter_context(Trial(name, pathlib.Path(folder), certs))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_good(name, certs):
    done = command("check", "--strict", EXAMPLES / name, env={**os.environ, "CERTS": str(certs)})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_comment_says_what_it_does_and_how_to_try_it(name):
    text = (EXAMPLES / name).read_text()
    lines = lines_of(text)
    assert re.match(r"# [A-Z].*\n", text)
    assert (f"ringway run {name}", "") in lines
    assert f"\ninstance: {name.removesuffix('.yaml')}" in text
    tried = [(line, promise) for line, promise in lines if "curl " in line]
    assert tried
    for line, promise in tried:
        assert PROMISE.fullmatch(promise), f"{line}: what does `{promise}` promise?"
    for line, _ in lines:
        assert "curl " in line or re.match(r"ringway (run|origin) |bash certificates.sh$", line)
    assert ("certs/" in text) == (("bash certificates.sh") in comment_of(text))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_does_what_its_comment_promises(name, trial):
    running = trial(name)
    for line, promise in running.lines:
        if "curl " in line:
            running.try_line(line, promise)


def test_the_log_has_the_fields_that_the_example_asks_for(trial):
    running = trial("logging-with-fields.yaml")
    for line, promise in running.lines:
        if "curl " in line:
            running.try_line(line, promise)
    log, = running.running.values()
    assert eventually(lambda: log.stdout.count("\n") >= 2)
    assert '"fields":{"agent":"tester/1","session":"s42","query":"x=1"}' in log.stdout
    assert '"agent":"tester/2"' in log.stdout


def test_certificates_are_made_where_the_examples_look(tmp_path):
    """The default of CERTS: a folder beside the script."""
    shutil.copy(EXAMPLES / "certificates.sh", tmp_path)
    done = subprocess.run(["bash", "certificates.sh"], cwd=tmp_path, capture_output=True,
                          text=True, timeout=patience(30))
    assert done.returncode == 0, done.stderr
    named = {match for name in NAMES
             for match in re.findall(r"certs}?/(\S+\.(?:pem|key))", (EXAMPLES / name).read_text())}
    assert named <= {path.name for path in (tmp_path / "certs").iterdir()}
    for key in (tmp_path / "certs").glob("*.key"):
        assert key.stat().st_mode & 0o077 == 0


def test_the_script_refuses_what_it_does_not_know(tmp_path):
    done = subprocess.run(["bash", EXAMPLES / "certificates.sh", "--frobnicate"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 2 and "usage:" in done.stderr
    assert not list(tmp_path.iterdir())

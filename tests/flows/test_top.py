"""`ringway top`: what it says agrees with what clients saw, and looking harms nobody."""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

from harness.origin import Origin
from harness.process import BINARY, TREE, eventually, patience
from harness.ringway import Ringway, command

VIEWS = ("shards", "routes", "upstreams", "limits")


@pytest.fixture(scope="module")
def gateway():
    with Origin() as origin, Ringway(f"""
            shop:
              url: "{origin.url}"
              routes:
                - {{name: orders, path: "/orders", limits: generous}}
                - {{name: rest, path: "/rest/*"}}
                - {{name: few, path: "/few", limits: strict}}
            """, shards=2, top="""
            limits:
              generous: {key: ip, rate: 1000000/s}
              strict: {key: ip, rate: 1/h, burst: 5}
            """) as instance:
        yield instance


class Load:
    """Clients that count what they got."""

    def __init__(self, gateway, clients=4, path="/orders", pause_s=0.0):
        self.gateway, self.path, self.pause_s = gateway, path, pause_s
        self.answered = [0] * clients
        self.bad = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(clients)]

    def _run(self, number):
        try:
            with self.gateway.client() as client:
                while not self.over.is_set():
                    answer = client.get(self.path)
                    if answer.status != 200:
                        self.bad.append(answer.status)
                    self.answered[number] += 1
                    if self.pause_s:
                        time.sleep(self.pause_s)
        except Exception as error:              # told by the main thread
            self.bad.append(repr(error))

    def total(self):
        return sum(self.answered)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        assert eventually(lambda: self.total() > 10)
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        assert self.bad == []


def top(gateway, *arguments, **options):
    return command("top", "--instance", gateway.instance, *arguments, **options)


def top_json(gateway, *arguments):
    done = top(gateway, "--once", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def by(rows, key, value):
    found = [row for row in rows if row[key] == value]
    assert len(found) == 1, rows
    return found[0]


# Figures

def test_figures_agree_with_what_clients_saw(gateway):
    with Load(gateway) as load:
        began, at_first = time.monotonic(), load.total()
        figures = top_json(gateway, "--interval", "2s")
        at_last, took = load.total(), time.monotonic() - began
    assert figures["instance"] == gateway.instance
    assert figures["pid"] == gateway.process.pid
    assert figures["state"] == "running"
    assert 2.0 <= figures["interval_s"] <= took
    total = figures["total"]
    # Counted outside of the interval: what clients did before the first and after the second
    # look; a request in progress on each connection at either end.
    assert 0 < total["requests"] <= at_last - at_first + 2 * len(load.answered)
    rate = (at_last - at_first) / took
    assert 0.6 * rate < total["requests_per_s"] < 1.6 * rate
    assert sum(shard["requests"] for shard in figures["shards"]) == \
        pytest.approx(total["requests"], abs=8)
    assert total["share"]["2xx"] == 1.0
    assert total["connections"] == 4
    assert total["errors_per_s"] == 0
    assert 0 < total["p50_us"] <= total["p99_us"]
    route = by(figures["routes"], "route", "orders")
    assert route["requests"] == total["requests"]
    assert by(figures["routes"], "route", "rest")["requests"] == 0
    upstream = figures["upstreams"][0]
    assert upstream["service"] == "shop"
    assert upstream["attempts"] == pytest.approx(total["requests"], abs=8)
    assert upstream["reused_share"] > 0.9
    busy = max(figures["shards"], key=lambda shard: shard["requests"])
    assert 0 < busy["busy_share"] <= 1
    assert 0 < busy["cpu_share"] < 1.1


def test_limits_agree_with_what_clients_were_told(gateway):
    child = subprocess.Popen([BINARY, "top", "--instance", gateway.instance, "--json",
                              "--interval", "200ms"], stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    with gateway.client() as client:
        told = [client.get("/few").status for _ in range(20)]
    assert told == [200] * 5 + [429] * 15
    decisions = admitted = refused = 0
    for _ in range(50):
        figures = json.loads(child.stdout.readline())
        limit = by(figures["limits"], "limit", "strict")
        decisions += limit["decisions"]
        admitted += limit["admitted_per_s"] * figures["interval_s"]
        refused += limit["refused_per_s"] * figures["interval_s"]
        if decisions == 20:
            break
    child.kill()
    child.wait()
    child.stdout.close()
    assert decisions == 20
    assert admitted == pytest.approx(5, abs=0.1) and refused == pytest.approx(15, abs=0.1)
    assert 1 <= figures["total"]["limit_keys"] < figures["total"]["limit_keys_max"]
    assert figures["total"]["limit_tokens_over_admitted"] == 0
    done = top(gateway, "--once", "--interval", "100ms", "--view", "limits")
    assert re.search(r"^strict  ", done.stdout, re.M)
    assert re.search(r"^keys in use: [1-9]", done.stdout, re.M)


def test_every_request_is_counted_once(gateway):
    def requests():
        return sum(shard["requests_total"] for shard in
                   top_json(gateway, "--interval", "100ms")["shards"])
    before = requests()
    with Load(gateway, clients=3) as load:
        time.sleep(0.5)
    with gateway.client() as client:
        for _ in range(7):
            assert client.get("/nowhere").status == 404
    assert eventually(lambda: requests() - before == load.total() + 7), \
        (requests() - before, load.total() + 7)


def test_json_has_what_is_documented(gateway):
    page = (TREE / "docs" / "top.md").read_text().split("## JSON", 1)[1]
    rows = {}
    for line in re.findall(r"^\| (`.*)", page, re.M):
        first, rest = line.split(" | ", 1)
        rest = re.sub(r"\([^)]*\)", "", rest)
        for name in re.findall(r"`(\w+)`", first):
            rows[name] = set(re.findall(r"`(\w+)`", rest))
    assert gateway.get("/nowhere").status == 404
    figures = top_json(gateway, "--interval", "100ms")
    assert set(figures) == set(rows)
    assert set(figures["total"]) == rows["total"]
    for name in ("shards", "upstreams"):
        assert set(figures[name][0]) == rows[name], name
    common = {"requests", "requests_per_s", "p50_us", "p99_us", "share", "in_bytes_per_s",
              "out_bytes_per_s"}
    assert set(figures["routes"][0]) == common | {"service", "route"}
    assert by(figures["routes"], "route", None)["service"] is None
    assert set(figures["limits"][0]) == rows["limits"]


# Lines

@pytest.mark.parametrize("view", VIEWS)
def test_once_prints_plain_text_of_80_columns(gateway, view):
    with Load(gateway, clients=1):
        done = top(gateway, "--once", "--interval", "200ms", "--view", view)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{gateway.instance}  running, up ")
    assert "req/s" in lines[1]
    assert all(len(line) <= 80 for line in lines)
    assert all(" " <= letter <= "~" for letter in done.stdout.replace("\n", ""))
    title = {"shards": "SHARD", "routes": "ROUTE", "upstreams": "UPSTREAM", "limits": "LIMIT"}
    at = next(i for i, line in enumerate(lines) if line.lstrip().startswith(title[view] + " "))
    rows = {"shards": 2, "routes": 3, "upstreams": 1, "limits": 2}
    assert len(lines) - at - 1 >= rows[view]


def test_without_a_terminal_each_interval_is_printed(gateway):
    child = subprocess.Popen([BINARY, "top", "--instance", gateway.instance, "--interval",
                              "100ms"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                             text=True)
    lines = [child.stdout.readline() for _ in range(20)]
    child.stdout.close()
    assert child.wait(patience(5)) != 0         # nobody reads any more
    heads = [line for line in lines if line.startswith(gateway.instance)]
    assert len(heads) >= 2
    assert "\033" not in "".join(lines)


def test_json_lines(gateway):
    child = subprocess.Popen([BINARY, "top", "--instance", gateway.instance, "--interval",
                              "100ms", "--json"], stdout=subprocess.PIPE,
                             stdin=subprocess.DEVNULL, text=True)
    for _ in range(3):
        assert json.loads(child.stdout.readline())["interval_s"] >= 0.1
    child.terminate()
    child.stdout.close()
    assert child.wait(patience(5)) == -signal.SIGTERM


def test_an_output_that_is_full_is_an_error(gateway):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([BINARY, "top", "--instance", gateway.instance, "--once",
                               "--interval", "100ms"], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=patience(20))
    assert done.returncode == 1
    assert "standard output" in done.stderr


# A terminal

class Terminal:
    """`ringway top` on a terminal of its own, and what stands on its screen."""

    def __init__(self, gateway, *arguments, width=80, height=24, env=None, wrapper=()):
        self.master, slave = pty.openpty()
        self.resize(width, height)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        env = {**os.environ, "TERM": "xterm", "NO_COLOR": "", **(env or {})}
        self.child = subprocess.Popen(
            [*wrapper, BINARY, "top", "--instance", gateway.instance, "--interval", "200ms",
             *arguments],
            stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=env, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.raw = b""
        self.rows = {}
        self.colour = False
        self.is_alternate = self.has_cursor = None

    def resize(self, width, height):
        self.width, self.height = width, height
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.child.stderr.close()
        os.close(self.master)
        os.close(self.slave)

    def read(self, for_s=0.05):
        while select.select([self.master], [], [], for_s)[0]:
            self.raw += os.read(self.master, 65536)
        self._obey()

    def _obey(self):
        """Draws what came; any other code than these is an error."""
        whole = re.compile(rb"\033\[(\?1049|\?25)([hl])|\033\[(\d*)(?:;(\d+))?([HJKm])|([ -~]+)")
        at = 0
        while at < len(self.raw):
            code = whole.match(self.raw, at)
            if not code:
                assert self.raw[at:at + 1] == b"\033" and len(self.raw) - at < 12, \
                    self.raw[at:at + 40]
                break
            at = code.end()
            if code[1] == b"?1049":
                self.is_alternate = code[2] == b"h"
            elif code[1] == b"?25":
                self.has_cursor = code[2] == b"h"
            elif code[5] == b"H":
                self.row = int(code[3] or 1)
                assert 1 <= self.row <= self.height
                assert int(code[4] or 1) == 1
            elif code[5] == b"J":
                self.rows = {}
            elif code[5] == b"K":
                self.rows[self.row] = ""
            elif code[5] == b"m":
                self.colour = self.colour or code[3] not in (b"", b"0")
            else:
                self.rows[self.row] = self.rows.get(self.row, "") + code[6].decode()
                assert len(self.rows[self.row]) <= self.width
        self.raw = self.raw[at:]

    def screen(self):
        return "\n".join(self.rows.get(i + 1, "") for i in range(self.height))

    def shows(self, words, timeout_s=5.0):
        def look():
            self.read()
            return words in self.screen()
        assert eventually(look, timeout_s), self.screen()

    def key(self, keys):
        os.write(self.master, keys)

    def ends(self):
        """Its exit code, once the terminal is what it was."""
        def over():
            self.read()
            return self.child.poll() is not None
        assert eventually(over)
        self.read()
        assert self.is_alternate is False
        assert self.has_cursor is True
        assert termios.tcgetattr(self.slave) == self.before
        return self.child.returncode


# A shell as far as needed: a job of its own, which goes on a second after it was stopped.
SHELL = """
import os, signal, sys, time
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(job, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(1)
    os.kill(job, signal.SIGCONT)
"""


def test_a_session_on_a_terminal(gateway):
    with Load(gateway, pause_s=0.001), Terminal(gateway) as terminal:
        terminal.shows("SHARD  CPU  CPU%")
        assert terminal.is_alternate and terminal.has_cursor is False
        assert terminal.colour
        assert terminal.rows[1].startswith(gateway.instance)
        assert terminal.rows[24].startswith("s shards  r routes")
        for key, words in ((b"r", "shop/orders"), (b"u", "shop http://127.0.0.1"),
                           (b"l", "REFUSE/S"), (b"s", "BUSY"), (b"\033[B\033[6~ ", "BUSY"),
                           (b"xyz\033[24~r", "shop/orders")):
            terminal.key(key)
            terminal.shows(words)
        terminal.key(b"q")
        assert terminal.ends() == 0


def test_a_refresh_sends_only_what_has_changed(gateway):
    with Terminal(gateway, "--view", "limits") as terminal:
        terminal.shows("REFUSE/S")
        terminal.raw, sent = b"", 0
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            if select.select([terminal.master], [], [], 0.05)[0]:
                sent += len(os.read(terminal.master, 65536))
        # Some five refreshes, of a screen that says nothing new but the time: not five times
        # 24 lines.
        assert sent < 1200
        terminal.key(b"q")
        assert eventually(lambda: terminal.child.poll() == 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(gateway, number):
    with Terminal(gateway) as terminal:
        terminal.shows("SHARD")
        terminal.child.send_signal(number)
        assert terminal.ends() == -number


def test_control_c(gateway):
    with Terminal(gateway) as terminal:
        terminal.shows("SHARD")
        terminal.key(b"\003")
        assert terminal.ends() == -signal.SIGINT


def test_stopped_by_the_terminal_and_gone_on(gateway):
    """The shell has its screen back meanwhile."""
    with Terminal(gateway, wrapper=("/usr/bin/python3", "-c", SHELL)) as terminal:
        terminal.shows("SHARD")
        terminal.key(b"\032")
        assert eventually(lambda: terminal.read() or terminal.is_alternate is False)
        assert termios.tcgetattr(terminal.slave) == terminal.before
        assert eventually(lambda: terminal.read() or terminal.is_alternate)
        terminal.shows("SHARD")
        terminal.key(b"q")
        assert terminal.ends() == 0


def test_a_terminal_that_does_not_wait(gateway):
    with Terminal(gateway, "--view", "shards") as terminal:
        os.set_blocking(terminal.slave, False)
        terminal.shows("SHARD")
        # Whole screens, more than a terminal holds that nobody reads from.
        for step in range(40):
            terminal.resize(80 + step % 2, 24)
            time.sleep(0.02)
        assert terminal.child.poll() is None
        terminal.shows("SHARD")
        terminal.key(b"q")
        assert terminal.ends() == 0


def test_the_size_may_change(gateway):
    with Terminal(gateway) as terminal:
        terminal.shows("q quit")
        terminal.read()
        terminal.resize(40, 10)
        terminal.rows = {}
        terminal.shows("s shards  r routes  u upstreams  l limi")
        assert max(terminal.rows) == 10
        terminal.resize(132, 50)
        assert eventually(lambda: terminal.read() or 50 in terminal.rows)
        terminal.key(b"q")
        assert terminal.ends() == 0


@pytest.mark.parametrize("env, is_drawn", [({"NO_COLOR": "1"}, True), ({"TERM": "dumb"}, False)])
def test_terminals_without_colours(gateway, env, is_drawn):
    with Terminal(gateway, env=env) as terminal:
        if is_drawn:
            terminal.shows("SHARD")
            assert not terminal.colour
            terminal.key(b"q")
            assert terminal.ends() == 0
        else:
            seen = b""
            while seen.count(b"SHARD") < 2:
                assert select.select([terminal.master], [], [], patience(5))[0]
                seen += os.read(terminal.master, 65536)
            assert b"\033" not in seen


# What can be wrong

def segment(gateway):
    return pathlib.Path(f"/dev/shm/ringway-{gateway.instance}")


def test_nobody_of_that_name(gateway):
    done = command("top", "--instance", "nobody-has-this", "--once")
    assert done.returncode == 1 and done.stdout == ""
    assert "no instance `nobody-has-this` runs on this host, or its counters are private " \
        "(`runtime.metrics_memory`); these run: " in done.stderr
    assert gateway.instance in done.stderr or "..." in done.stderr


def test_private_counters_are_not_seen():
    with Origin() as origin, \
            Ringway(f'all: {{url: "{origin.url}", routes: [{{path: "/*"}}]}}',
                    runtime="metrics_memory: private") as hidden:
        assert not segment(hidden).exists()
        done = top(hidden, "--once")
        assert done.returncode == 1
        assert "its counters are private" in done.stderr


@pytest.mark.parametrize("arguments, words", [
    (("--view", "keys"), "`keys` is no view"),
    (("--interval", "99ms"), "`99ms` is no interval"),
    (("--interval", "61s"), "`61s` is no interval"),
    (("--interval", "18446744073709552s"), "is no interval"),
    (("--interval", "1"), "`1` is no interval"),
    (("--instance", "../x"), "`../x` is no name of an instance"),
    (("--onec",), "did you mean `--once`?"),
])
def test_usage(arguments, words):
    done = command("top", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def instance_of_its_own(origin):
    return Ringway(f'all: {{url: "{origin.url}", routes: [{{path: "/*"}}]}}', shards=2)


def test_an_instance_that_ends_is_told_of():
    with Origin() as origin, instance_of_its_own(origin) as gateway:
        with Terminal(gateway) as terminal:
            terminal.shows("SHARD")
            gateway.stop()
            assert terminal.ends() == 1
            assert f"instance `{gateway.instance}` has ended" in \
                terminal.child.stderr.read().decode()
        done = top(gateway, "--once")
        assert done.returncode == 1
        assert "no instance" in done.stderr


def test_an_instance_that_was_killed_is_told_of():
    with Origin() as origin:
        gateway = instance_of_its_own(origin)
        try:
            gateway.start()
            gateway.process.kill()
            done = top(gateway, "--once")
            assert done.returncode == 1
            assert f"instance `{gateway.instance}` was killed" in done.stderr
        finally:
            gateway.discard()
            segment(gateway).unlink(missing_ok=True)


def test_a_segment_that_is_deleted_goes_on_being_read():
    with Origin() as origin, instance_of_its_own(origin) as gateway:
        child = subprocess.Popen([BINARY, "top", "--instance", gateway.instance, "--json",
                                  "--interval", "100ms"], stdout=subprocess.PIPE, text=True)
        json.loads(child.stdout.readline())
        segment(gateway).unlink()
        with Load(gateway, clients=1):
            assert eventually(lambda: json.loads(child.stdout.readline())["total"]["requests"] > 0)
        child.kill()
        child.wait()
        child.stdout.close()
        assert gateway.get("/").status == 200


def test_files_that_are_no_segment(tmp_path):
    name = f"flow-top-{os.getpid()}"
    path = pathlib.Path(f"/dev/shm/ringway-{name}")
    try:
        for content in (b"", b"x", b"x" * 4096, b"\0" * 65536):
            path.write_bytes(content)
            done = command("top", "--instance", name, "--once")
            assert done.returncode == 1
            assert "is not a segment of Ringway's" in done.stderr
        path.unlink()
        path.symlink_to(tmp_path)
        assert command("top", "--instance", name, "--once").returncode == 1
        path.unlink()
        path.mkdir()
        assert command("top", "--instance", name, "--once").returncode == 1
        path.rmdir()
    finally:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            path.rmdir()


def test_a_copy_of_a_segment_has_no_owner(gateway):
    name = f"flow-top-copy-{os.getpid()}"
    path = pathlib.Path(f"/dev/shm/ringway-{name}")
    try:
        path.write_bytes(segment(gateway).read_bytes())
        done = command("top", "--instance", name, "--once")
        assert done.returncode == 1
        assert "was killed" in done.stderr
    finally:
        path.unlink()


@pytest.mark.skipif(os.getuid() != 0, reason="takes another user")
def test_another_user_may_not_look(gateway):
    done = subprocess.run(["/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534",
                           "--clear-groups", BINARY, "top", "--instance", gateway.instance,
                           "--once"], capture_output=True, text=True, timeout=patience(20))
    if "failed to execute" in done.stderr:
        pytest.skip("another user may not run the binary")
    assert done.returncode == 1
    assert "permission denied" in done.stderr


def test_a_reader_that_is_killed_at_any_moment_harms_nobody(gateway):
    with Load(gateway) as load:
        for step in range(60):
            child = subprocess.Popen([BINARY, "top", "--instance", gateway.instance, "--json",
                                      "--interval", "100ms"], stdout=subprocess.DEVNULL)
            time.sleep(0.004 * step)
            child.send_signal(signal.SIGKILL)
            child.wait()
        before = load.total()
        assert eventually(lambda: load.total() > before + 100)
    assert gateway.process.running()
    assert top(gateway, "--once", "--interval", "100ms").returncode == 0

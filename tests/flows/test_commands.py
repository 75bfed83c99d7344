"""Commands as a person or a script types them: `proxy` without a file, `status` and `reload` of
what is there and of what is not, misuse, colours. What `check` finds is in test_config.py."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.request

import pytest

from harness.origin import Origin
from harness.process import BINARY, Process, eventually, free_port, patience
from harness.ringway import Ringway, command

RESPOND = "hello:\n  respond: {status: 200, body: hi}\n  routes: [{path: /*}]\n"


@pytest.fixture
def short():
    """A folder whose path is short enough for a socket's."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringway-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


# A proxy without a file

class Proxy:
    def __init__(self, folder, target, *options):
        self.folder, self.target, self.options = folder, target, options
        # Where the admin socket goes, unless the host has /run/ringway.
        self.env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}

    def __enter__(self):
        for attempt in range(3):
            self.port = free_port()
            self.process = Process([BINARY, "proxy", "--from", f"127.0.0.1:{self.port}", "--to",
                                    self.target, *self.options], self.folder, f"proxy{attempt}",
                                   self.env)
            if eventually(lambda: not self.process.running() or
                          "ready" in self.process.stderr, 15.0) and self.process.running():
                return self
        raise AssertionError("no proxy: " + self.process.stderr)

    def __exit__(self, *_):
        self.process.kill()


def test_a_proxy_without_a_file(short):
    with Origin() as origin, Proxy(short, origin.url, "--shards", "1") as proxy:
        url = f"http://127.0.0.1:{proxy.port}/some/path?x=1"
        with urllib.request.urlopen(url, timeout=patience(5)) as answer:
            assert answer.read() == b"ok"
        assert origin.requests[0].target == b"/some/path?x=1"
        assert eventually(lambda: "/some/path" in proxy.process.stdout), "no line of the request"
        status = command("status", "--json", "--instance", f"proxy-{proxy.port}", env=proxy.env)
        assert status.returncode == 0, status.stderr
        assert [shard["requests"] for shard in json.loads(status.stdout)["shards"]] == [1]
        reload = command("reload", "--instance", f"proxy-{proxy.port}", env=proxy.env)
        assert reload.returncode == 1 and "no file" in reload.stderr
        proxy.process.signal(signal.SIGTERM)
        assert proxy.process.wait() == 0


def test_two_proxies_have_two_names_and_one_name_has_one_proxy(short):
    with Origin() as origin, Proxy(short, origin.url, "--instance", f"t-{os.getpid()}") as first:
        with Proxy(short, origin.url) as second:
            assert first.port != second.port
        third = command("proxy", "--from", f"127.0.0.1:{free_port()}", "--to", origin.url,
                        "--instance", f"t-{os.getpid()}", cwd=short, env=first.env)
        assert third.returncode == 1
        assert "runs already" in third.stderr


@pytest.mark.parametrize("options, words", [
    (["--from", "8080", "--to", "http://a.test"], "--from: "),
    (["--from", "127.0.0.1:0", "--to", "http://a.test"], "--from: "),
    (["--from", ":8080", "--to", "a.test"], "--to: "),
    (["--from", ":8080", "--to", "http://a.test/path"], "--to: "),
    (["--from", ":8080", "--to", "http://a.test", "--shards", "many"], "--shards: "),
    (["--from", ":8080", "--to", "http://a.test", "--instance", "a/b"], "--instance: "),
    (["--from", ":8080", "--to", "http://a.test', evil: 'x"], "--to: "),
    (["--from", ":8080", "--to", "http://a.test\nevil: x"], "control character"),
    (["--from", ":8080", "--to", "http://${RINGWAY_TEST}"], "--to: "),
    (["--from", ":8080"], "--to is missing"),
    (["--to", "http://a.test"], "--from is missing"),
], ids=str)
def test_a_proxy_says_which_option_is_wrong(options, words):
    done = command("proxy", *options, env={**os.environ, "RINGWAY_TEST": "127.0.0.1:1"})
    assert done.returncode == 2
    assert words in done.stderr
    assert "unknown key" not in done.stderr


def test_an_origin_says_which_option_is_wrong():
    done = command("origin", "--listen", "nowhere")
    assert done.returncode == 2
    assert "--listen: " in done.stderr


# Status and reload

def test_status_as_text_has_a_row_per_shard():
    with Ringway(RESPOND, shards=2) as gateway:
        assert gateway.get("/").status == 200
        text = gateway.admin("status").stdout
        assert f"instance {gateway.instance}" in text and f"pid {gateway.process.pid}" in text
        assert str(gateway.config_path) in text
        head, *rows = [line.split() for line in text.splitlines()[-3:]]
        assert head[:2] == ["shard", "cpu"]
        assert [row[0] for row in rows] == ["0", "1"]
        assert sum(int(row[head.index("requests")]) for row in rows) == 1


def test_reload_as_text_and_json():
    with Ringway(RESPOND) as gateway:
        text = gateway.admin("reload")
        assert (text.returncode, text.stderr) == (0, "")
        assert text.stdout.startswith("generation 2 on 1 shard after ")
        outcome = json.loads(gateway.admin("reload", "--json").stdout)
        assert (outcome["ok"], outcome["generation"]) == (True, 3)


@pytest.mark.parametrize("name", ["status", "reload"])
class TestNobodyAnswers:
    def test_no_such_instance(self, name):
        done = command(name, "--instance", "nobody-has-this-name")
        assert done.returncode == 1
        assert "`nobody-has-this-name` is not running" in done.stderr
        assert "nobody-has-this-name.sock" in done.stderr, "it does not say where it looked"

    def test_the_socket_of_a_process_that_has_ended(self, name, short):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(short / "admin.sock"))
        done = command(name, "--socket", short / "admin.sock")
        assert done.returncode == 1
        assert "has ended" in done.stderr

    def test_a_path_that_no_socket_can_have(self, name):
        done = command(name, "--socket", "/tmp/" + "x" * 200)
        assert done.returncode == 1
        assert "107 bytes" in done.stderr

    @pytest.mark.parametrize("answer", [
        b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", b"x" * 500000,
    ], ids=["nothing", "ssh", "no json", "half", "no object", "too much"])
    def test_a_stranger_on_the_socket(self, name, answer, short):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(short / "admin.sock"))
            listener.listen()

            def stranger():
                conn, _ = listener.accept()
                with conn:
                    conn.recv(4096)
                    try:
                        conn.sendall(answer)
                    except OSError:
                        pass            # it had heard enough

            thread = threading.Thread(target=stranger)
            thread.start()
            done = command(name, "--socket", short / "admin.sock")
            thread.join()
        assert done.returncode == 1
        assert done.stdout == ""
        assert "admin.sock" in done.stderr

    def test_a_process_that_hangs(self, name, short, full):
        if name == "reload" or not full:
            pytest.skip("takes 10 s, and a minute for reload")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(short / "admin.sock"))
            listener.listen()
            done = command(name, "--socket", short / "admin.sock", timeout_s=30.0)
        assert done.returncode == 1
        assert "no answer in time" in done.stderr

    def test_either_a_name_or_a_path(self, name):
        done = command(name, "--socket", "/x", "--instance", "x")
        assert done.returncode == 2


# Misuse

@pytest.mark.parametrize("written, meant", [("rum", "run"), ("chekc", "check"),
                                            ("stauts", "status"), ("verison", "version")])
def test_an_unknown_command_suggests_the_nearest(written, meant):
    done = command(written)
    assert done.returncode == 2
    assert f"did you mean `{meant}`?" in done.stderr


@pytest.mark.parametrize("arguments", [
    ["explain", "f", "GET", "/"], ["rollback"], ["drain"], ["upgrade"],
    ["doctor"], ["cpus"], ["tune", "plan"], ["help", "doctor"],
    ["check", "--routes", "expectations", "f"],
], ids=" ".join)
def test_what_is_not_built_is_refused_by_name(arguments):
    done = command(*arguments)
    assert done.returncode == 2
    assert "not supported yet" in done.stderr
    assert done.stdout == ""


def test_nothing_is_misuse_and_shows_the_commands():
    done = command()
    assert done.returncode == 2
    assert "proxy" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("name", ["run", "check", "proxy", "origin", "status", "reload",
                                  "version", "help"])
def test_help_is_the_same_both_ways(name):
    done = command("help", name)
    assert done.returncode == 0
    assert done.stdout == command(name, "--help").stdout
    assert done.stdout.startswith(f"usage: ringway {name}")
    assert max(len(line) for line in done.stdout.splitlines()) < 90


def test_an_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "w") as full:
        done = subprocess.run([BINARY, "version"], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=patience(20))
    assert done.returncode == 1
    assert "standard output" in done.stderr


# Colours

def on_terminal(*arguments, **env):
    """What the command writes when standard output is a terminal."""
    ours, theirs = os.openpty()
    try:
        subprocess.run([BINARY, *arguments], stdin=subprocess.DEVNULL, stdout=theirs,
                       stderr=subprocess.DEVNULL, timeout=patience(20),
                       env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **env})
        return os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)


def test_colours_on_a_terminal_only_and_not_against_its_will(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("servces: {}\n")
    assert b"\033[" in on_terminal("check", bad)
    assert b"\033[" not in on_terminal("check", bad, NO_COLOR="1")
    assert b"\033[" not in on_terminal("check", bad, TERM="dumb")
    assert "\033[" not in command("check", bad).stdout

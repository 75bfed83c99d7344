"""The control plane under those who abuse it, or hurry: its sockets, its signals, its reloads."""

import os
import resource
import signal
import socket
import subprocess
import time

import pytest

from harness.process import BINARY, SANITIZER, eventually
from harness.ringway import Ringway, command

HELLO = """
    hello:
      respond: {body: "hello"}
      routes: [{path: /slow, delay: 60s}, {path: "/*"}]
    """


def config_beside(gateway, tmp_path, socket_path):
    """Another instance's config, whose admin socket is to be at that path."""
    path = tmp_path / "other.yaml"
    path.write_text(f"instance: {gateway.instance}-b\n"
                    f"admin: {{socket: {socket_path}}}\n"
                    "services:\n  a: {respond: {}, routes: [{path: /}]}\n")
    return path


# The admin socket's path

def test_a_file_at_the_admin_socket_is_left_alone(tmp_path):
    with Ringway(HELLO) as gateway:
        (tmp_path / "precious").write_text("kept")
        done = command("run", config_beside(gateway, tmp_path, tmp_path / "precious"))
        assert done.returncode == 1
        assert "is no socket" in done.stderr
        assert (tmp_path / "precious").read_text() == "kept"


def test_the_admin_socket_of_another_instance_is_left_alone(tmp_path):
    with Ringway(HELLO) as gateway:
        done = command("run", config_beside(gateway, tmp_path, gateway.socket_path))
        assert done.returncode == 1
        assert "in use by another process" in done.stderr
        assert gateway.status()["instance"] == gateway.instance


def test_the_admin_socket_of_a_dead_process_is_taken_over():
    gateway = Ringway(HELLO)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(gateway.socket_path))
    dead.close()
    with gateway:
        assert gateway.status()["instance"] == gateway.instance


# Clients of the control shard

def test_idle_monitoring_clients_do_not_lock_out_the_others():
    with Ringway(HELLO) as gateway:
        address = ("127.0.0.1", gateway.metrics_port)
        silent = [socket.create_connection(address) for _ in range(300)]
        assert eventually(lambda: gateway.probe("/health") == 200)
        for client in silent:
            try:
                client.sendall(b"GET /hea")     # no idle ones any more, and all slow
            except OSError:
                pass                            # it was one of the oldest
        assert gateway.admin("status").returncode == 0
        for client in silent:
            client.close()


def test_admin_clients_that_do_not_read_do_no_harm():
    """All places taken by pipelines whose answers wait for their reader; then one reads."""
    request = b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n" * 400
    with Ringway(HELLO) as gateway:
        clients = [socket.socket(socket.AF_UNIX) for _ in range(256)]
        for client in clients:
            client.connect(str(gateway.socket_path))
            client.setblocking(False)
        left = {client: request for client in clients}
        started = time.monotonic()
        while time.monotonic() - started < 3:
            for client, rest in left.items():
                try:
                    left[client] = rest[client.send(rest):] if rest else rest
                except OSError:
                    pass                        # full, or turned away
            time.sleep(0.02)
        for client in clients:
            try:
                client.recv(1 << 20)
            except OSError:
                pass
        time.sleep(0.2)
        assert gateway.process.running()
        for client in clients:
            client.close()
        assert eventually(lambda: gateway.admin("status").returncode == 0)


# Reload

def test_a_signal_during_a_reload_is_not_lost():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = f'resolver: {{servers: ["127.0.0.1:{silent.getsockname()[1]}"], timeout: 1s}}'
        with Ringway(HELLO, top=resolver) as gateway:
            lost = "    lost: {url: 'http://lost.test', routes: [{path: /lost}]}\n"
            gateway.write_config(HELLO.rstrip(" ") + lost)
            gateway.process.signal(signal.SIGHUP)
            assert silent.recv(512)             # the reload waits for this answer
            gateway.write_config(HELLO.replace('"hello"', '"second"'))
            gateway.process.signal(signal.SIGHUP)
            assert eventually(lambda: gateway.get("/").body == b"second", 10.0)


def test_a_changed_resolver_needs_a_restart():
    with Ringway(HELLO, top='resolver: {servers: ["127.0.0.1:9"]}') as gateway:
        text = gateway.config_text().replace("127.0.0.1:9", "127.0.0.1:10")
        gateway.config_path.write_text(text)
        done = gateway.admin("reload")
        assert done.returncode == 1
        assert "resolver: the change needs a restart" in done.stderr


@pytest.mark.parametrize("before, change, named", [
    ("runtime: {", "limit_keys: 4096, ", "runtime.limit_keys and limit_windows"),
    ("runtime: {", "limit_windows: 4096, ", "runtime.limit_keys and limit_windows"),
    ("runtime: {", "metrics_memory: private, ", "runtime.metrics_memory"),
    ("monitoring:\n", "  label_budget: 8\n", "monitoring.label_budget"),
])
def test_what_is_reserved_at_the_start_needs_a_restart(before, change, named):
    with Ringway(HELLO) as gateway:
        text = gateway.config_text()
        assert text.count(before) == 1
        gateway.config_path.write_text(text.replace(before, before + change))
        done = gateway.admin("reload")
        assert done.returncode == 1
        assert f"{named}: the change needs a restart" in done.stderr


def test_the_requests_of_many_reloads_may_end_at_once():
    """At the drain limit each shard lets go of hundreds of snapshots in one turn."""
    with Ringway(HELLO, drain="100ms") as gateway:
        clients = []
        for _ in range(600):
            clients.append(gateway.client().send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"))
            with socket.socket(socket.AF_UNIX) as admin:
                admin.connect(str(gateway.socket_path))
                admin.sendall(b"POST /reload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert b"200 OK" in admin.recv(64)
        gateway.stop()
        for client in clients:
            client.close()


def test_a_stop_behind_a_reload():
    """Whatever the moment at which the one meets the other."""
    for step in range(8):
        with Ringway(HELLO, shards=2, drain="1s") as gateway:
            gateway.process.signal(signal.SIGHUP)
            time.sleep(0.003 * step)
            gateway.stop()


def test_a_file_that_never_comes_does_not_hold_up_the_stop():
    with Ringway(HELLO) as gateway:
        os.mkfifo(gateway.folder / "fifo")
        gateway.write_config(HELLO.replace('"hello"', '"${file:fifo}"'))
        gateway.process.signal(signal.SIGHUP)
        time.sleep(0.2)
        assert gateway.get("/").status == 200


@pytest.mark.skipif(bool(SANITIZER), reason="a sanitizer needs address space at any time")
def test_a_reload_without_a_thread_to_spare_changes_nothing():
    with Ringway(HELLO) as gateway:
        pid = gateway.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, resource.RLIM_INFINITY))
        refused = gateway.admin("reload")
        resource.prlimit(pid, resource.RLIMIT_AS, before)
        assert refused.returncode == 1
        assert "no thread to read it" in refused.stdout + refused.stderr
        assert gateway.get("/").status == 200
        assert gateway.admin("reload").returncode == 0


# Standard error

def started(gateway, begin):
    """What `begin` started, once it is ready; on other ports when somebody took these."""
    for _ in range(3):
        gateway.pick_ports()
        gateway.write_config()
        child = begin()
        if eventually(lambda: child.poll() is not None or gateway.ready(), 15.0) \
                and child.poll() is None:
            return child
        child.kill()
        child.wait()
    raise AssertionError("it does not start")


def test_a_standard_error_that_nobody_reads_stops_nothing():
    gateway = Ringway(HELLO)
    reader, writer = os.pipe()
    with started(gateway, lambda: subprocess.Popen(
            [str(BINARY), "run", str(gateway.config_path)], stderr=writer,
            stdin=subprocess.DEVNULL)) as child:
        os.close(writer)
        gateway.config_path.write_text("servces: {}\n")
        for _ in range(300):
            child.send_signal(signal.SIGHUP)
            time.sleep(0.005)
        assert gateway.probe("/health") == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
        os.close(reader)
    gateway.discard()


def test_no_socket_takes_the_place_of_a_closed_standard_output():
    gateway = Ringway(HELLO, logging='output: stdout')

    def begin():
        text = gateway.config_text().replace(f'output: "{gateway.log_path}", ', "")
        gateway.config_path.write_text(text)
        return subprocess.Popen([str(BINARY), "run", str(gateway.config_path)],
                                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                preexec_fn=lambda: os.close(1))

    with started(gateway, begin) as child:
        assert os.readlink(f"/proc/{child.pid}/fd/1") == "/dev/null"
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
    gateway.discard()


def test_status_answers_when_descriptors_have_run_out():
    with Ringway(HELLO, fd_limit=60) as gateway:
        silent = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(100)]
        assert eventually(lambda: gateway.admin("status").returncode == 0, 10.0)
        for client in silent:
            client.close()

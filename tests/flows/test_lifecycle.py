"""Start, reload, drain, stop: what is in flight is answered, what is wrong changes nothing."""

import glob
import json
import os
import signal
import threading
import time

import pytest

from harness.origin import OK, Origin, by_path
from harness.process import eventually
from harness.ringway import Quiet, Ringway, command

REQUEST = b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n"


def service(origin, path="/*", name="all"):
    return f"""
        {name}:
          url: "{origin.url}"
          routes: [{{path: "{path}"}}]
        """


class Gate:
    """An origin whose /slow answers when the test lets it."""

    def __init__(self):
        self.open = threading.Event()
        self.origin = Origin(by_path({"/slow": self._slow}))

    def _slow(self, conn, _):
        self.open.wait(20)
        conn.send(OK)
        return True

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.open.set()
        self.origin.__exit__(*error)


@pytest.fixture
def gate():
    with Gate() as instance:
        yield instance


def waits(gate, gateway, count=1):
    """Clients whose request is at the origin and not answered."""
    before = len(gate.origin.requests)
    clients = [gateway.client().send(REQUEST) for _ in range(count)]
    gate.origin.wait_requests(before + count)
    return clients


# Start

def test_health_and_ready(gate):
    with Ringway(service(gate.origin)) as gateway:
        assert gateway.probe("/health") == 200
        assert gateway.probe("/ready") == 200
        assert gateway.probe("/nothing") == 404


def test_the_banner_says_what_runs_where(gate):
    with Ringway(service(gate.origin), shards=2) as gateway:
        said = gateway.process.stderr + gateway.process.stdout
        assert f"127.0.0.1:{gateway.port}" in said
        assert "shard" in said
        assert "KiB" in said or "MiB" in said


def test_a_second_start_on_the_same_address_fails(gate, tmp_path):
    with Ringway(service(gate.origin)) as gateway:
        text = gateway.config_text().replace(gateway.instance, gateway.instance + "-b") \
            .replace("admin.sock", "other.sock")
        (tmp_path / "second.yaml").write_text(text)
        done = command("run", tmp_path / "second.yaml")
        assert done.returncode == 1
        assert str(gateway.port) in done.stderr
        assert gateway.get("/").status == 200


def test_a_second_start_of_the_same_instance_fails(gate, tmp_path):
    with Ringway(service(gate.origin)) as gateway:
        other = Ringway(service(gate.origin))
        other.instance = gateway.instance
        with pytest.raises(AssertionError, match="exit code 1"), other:
            pass
        assert gateway.get("/").status == 200


def test_a_stopped_process_leaves_nothing_behind(gate):
    with Ringway(service(gate.origin)) as gateway:
        gateway.get("/")
        gateway.stop()
        assert not gateway.socket_path.exists()
        assert glob.glob(f"/dev/shm/*{gateway.instance}*") == []


def test_no_io_uring_worker_threads(gate):
    with Ringway(service(gate.origin), shards=2) as gateway:
        for _ in range(50):
            assert gateway.get("/").status == 200
        assert gateway.process.io_workers() == []


def test_the_service_with_an_unknown_name_does_not_stop_the_start(gate):
    other = """
        lost:
          url: "http://no-such-name.invalid:80"
          routes: [{path: /lost}]
        """
    with Ringway(service(gate.origin).rstrip() + other) as gateway:
        assert gateway.get("/lost").status == 503
        gateway.record(path="/lost", cause="upstream_name_unresolved")
        assert gateway.get("/").status == 200


# Records

def test_a_record_says_what_happened(gate):
    with Ringway(service(gate.origin)) as gateway:
        with gateway.client() as client:
            raw = (b"POST /a?b=c HTTP/1.1\r\nHost: A.test:81\r\nContent-Length: 5\r\n\r\n"
                   b"hello")
            client.send(raw).response()
        record = gateway.record(path="/a?b=c")
        request = gate.origin.requests[-1]
        assert record["id"].encode() == request.value("X-Request-Id")
        expected = {"client": "127.0.0.1", "method": "POST", "host": "a.test", "service": "all",
                    "target": gate.origin.url, "status": 200, "shard": 0, "attempts": 1,
                    "protocol": "HTTP/1.1"}
        assert {name: record[name] for name in expected} == expected
        assert "cause" not in record
        assert record["bytes_in"] == len(raw)
        assert record["bytes_out"] > len(b"HTTP/1.1 200 OK\r\n\r\nok")
        assert 0 <= record["head_us"] <= record["total_us"] < 5_000_000
        assert record["connect_us"] <= record["first_byte_us"] <= record["total_us"]


def test_what_a_client_sends_cannot_break_a_log_line(gate):
    with Ringway(service(gate.origin)) as gateway:
        with gateway.client() as client:
            client.send(b'GET /"%0a{}? HTTP/1.1\r\nHost: a.test\r\n\r\n')
            client.response()
        assert eventually(lambda: len(gateway.records()) == 1)
        with gateway.client() as client:
            client.send(b"GET /\xff\xfe\x1b[31m HTTP/1.1\r\nHost: a.test\r\n\r\n")
            client.response()
        assert eventually(lambda: len(gateway.records()) == 2)


def test_sigusr1_reopens_the_log(gate):
    with Ringway(service(gate.origin)) as gateway:
        gateway.get("/before")
        gateway.record(path="/before")
        moved = gateway.folder / "ringway.log.1"
        os.rename(gateway.log_path, moved)
        gateway.get("/between")
        assert eventually(lambda: "/between" in moved.read_text())
        gateway.process.signal(signal.SIGUSR1)
        assert eventually(gateway.log_path.exists)
        gateway.get("/after")
        gateway.record(path="/after")
        assert "/after" not in moved.read_text()


# Stop

def test_sigterm_answers_what_is_in_flight_and_exits_0(gate):
    with Ringway(service(gate.origin), shards=2, drain="10s") as gateway:
        clients = waits(gate, gateway, 4)
        gateway.process.signal(signal.SIGTERM)
        assert eventually(lambda: gateway.probe("/ready") in (503, None))
        assert gateway.process.running()
        assert eventually(lambda: refuses(gateway)), "new connections are still taken"
        gate.open.set()
        for client in clients:
            response = client.response()
            assert (response.status, response.body) == (200, b"ok")
            assert response.values("Connection") == [b"close"]
            assert client.ends()
        assert gateway.process.wait(5) == 0


def refuses(gateway):
    try:
        with gateway.client():
            return False
    except ConnectionError:
        return True


def test_sigterm_lets_a_kept_connection_ask_once_more(gate):
    """A client that has just begun to send must not be cut; it is told to close instead."""
    with Ringway(service(gate.origin), drain="3s") as gateway:
        with gateway.client() as client:
            assert client.get("/").status == 200
            gateway.process.signal(signal.SIGTERM)
            assert eventually(lambda: gateway.probe("/ready") in (503, None))
            response = client.get("/last")
            assert response.status == 200
            assert response.values("Connection") == [b"close"]
            assert client.ends()
        assert gateway.process.wait(5) == 0


def test_the_drain_limit_ends_idle_connections(gate):
    with Ringway(service(gate.origin), drain="1s") as gateway:
        with gateway.client() as client:
            assert client.get("/").status == 200
            started = time.monotonic()
            gateway.process.signal(signal.SIGTERM)
            assert client.ends()
            assert gateway.process.wait(5) == 0
            assert 0.8 < time.monotonic() - started < 3


def test_the_drain_limit_ends_requests_that_never_end(gate):
    with Ringway(service(gate.origin), drain="500ms") as gateway:
        (client,) = waits(gate, gateway)
        started = time.monotonic()
        gateway.process.signal(signal.SIGTERM)
        assert gateway.process.wait(5) == 0
        assert 0.4 < time.monotonic() - started < 3
        client.close()


def test_a_second_signal_ends_at_once(gate):
    with Ringway(service(gate.origin), drain="30s") as gateway:
        (client,) = waits(gate, gateway)
        gateway.process.signal(signal.SIGTERM)
        assert eventually(lambda: gateway.probe("/ready") in (503, None))
        started = time.monotonic()
        gateway.process.signal(signal.SIGTERM)
        # How it says that something was cut is its exit code, whatever it is.
        gateway.expect_code = gateway.process.wait(5)
        assert time.monotonic() - started < 2
        client.close()


# Reload

def reload_by_signal(gateway):
    generation = gateway.status()["generation"]
    gateway.process.signal(signal.SIGHUP)
    assert eventually(lambda: gateway.status()["generation"] != generation), "no new generation"


def reload_by_command(gateway):
    done = gateway.admin("reload")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("reload", [reload_by_signal, reload_by_command])
def test_reload_adds_and_removes_routes(gate, reload):
    with Ringway(service(gate.origin, "/old/*"), shards=2) as gateway:
        assert (gateway.get("/old/x").status, gateway.get("/new/x").status) == (200, 404)
        gateway.write_config(service(gate.origin, "/new/*"))
        reload(gateway)
        for _ in range(8):      # by connections of their own, so that both shards are asked
            assert (gateway.get("/old/x").status, gateway.get("/new/x").status) == (404, 200)
        gateway.record(path="/old/x", status=404, cause="no_route")


def test_a_kept_connection_sees_the_new_routes(gate):
    with Ringway(service(gate.origin, "/old")) as gateway, gateway.client() as client:
        assert client.get("/new").status == 404
        gateway.write_config(service(gate.origin, "/new"))
        reload_by_command(gateway)
        assert client.get("/new").status == 200


def test_a_request_keeps_the_config_that_it_began_with(gate):
    with Ringway(service(gate.origin, "/slow", name="before")) as gateway:
        (client,) = waits(gate, gateway)
        gateway.write_config(service(gate.origin, "/other", name="after"))
        reload_by_command(gateway)
        gate.open.set()
        assert client.response().status == 200
        assert gateway.record(path="/slow")["service"] == "before"
        client.close()


def test_a_bad_file_changes_nothing(gate):
    with Ringway(service(gate.origin)) as gateway, gateway.client() as client:
        assert client.get("/").status == 200
        generation = gateway.status()["generation"]
        gateway.config_path.write_text("servces: {}\n")
        done = gateway.admin("reload")
        assert done.returncode == 1
        assert "did you mean `services`?" in done.stderr + done.stdout
        gateway.process.signal(signal.SIGHUP)
        assert eventually(lambda: "did you mean `services`?" in gateway.process.stderr)
        assert client.get("/").status == 200, "the connection was lost"
        assert gateway.status()["generation"] == generation


def test_a_bad_file_is_reported_in_json(gate):
    with Ringway(service(gate.origin)) as gateway:
        gateway.config_path.write_text("servces: {}\n")
        done = gateway.admin("reload", "--json")
        assert done.returncode == 1
        assert "servces" in json.dumps(json.loads(done.stdout))


def test_a_changed_listener_needs_a_restart(gate):
    with Ringway(service(gate.origin)) as gateway:
        port = gateway.port
        gateway.port = gateway.metrics_port + 1 if gateway.metrics_port < 65535 else 1024
        gateway.write_config()
        gateway.port = port
        done = gateway.admin("reload")
        assert done.returncode == 1
        assert "restart" in done.stderr + done.stdout
        assert gateway.get("/").status == 200


def test_reloads_under_load_fail_no_request(gate, full):
    """Routes come and go while clients use one that stays."""
    stays = service(gate.origin, "/stays/*")
    comes = stays + service(gate.origin, "/comes/*", name="more")
    with Ringway(stays, shards=2) as gateway, Quiet(gateway):
        ends, wrong, done = threading.Event(), [], []

        def load():
            count = 0
            try:
                with gateway.client() as client:
                    while not ends.is_set():
                        response = client.get("/stays/x")
                        if response is None or response.status != 200:
                            wrong.append(response)
                            return
                        count += 1
            except Exception as error:      # a thread's failure must reach the test
                wrong.append(error)
            done.append(count)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(200 if full else 20):
                gateway.write_config(comes if number % 2 == 0 else stays)
                reload_by_command(gateway)
                assert gateway.get("/comes/x").status == (200 if number % 2 == 0 else 404)
        finally:
            ends.set()
            for thread in threads:
                thread.join()
        assert not wrong, wrong[:3]
        assert min(done) > 20


def test_status_in_both_formats(gate):
    with Ringway(service(gate.origin), shards=2) as gateway:
        status = gateway.status()
        assert len(status["shards"]) == 2
        assert status["instance"] == gateway.instance
        text = gateway.admin("status")
        assert text.returncode == 0
        assert gateway.instance in text.stdout


def test_commands_without_a_process_say_so(tmp_path):
    for name in ("status", "reload"):
        done = command(name, "--socket", tmp_path / "none.sock")
        assert done.returncode == 1
        assert "none.sock" in done.stderr

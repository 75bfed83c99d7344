"""GET /metrics: both formats, judged by promtool, by a real Prometheus and by Prometheus' own
client library; the figures against what the clients saw; scrapes that are slow, many or gone."""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from harness.client import RawClient
from harness.origin import Origin, by_path
from harness.process import SANITIZER, Process, eventually, free_port, patience
from harness.ringway import Quiet, Ringway, command

TREE = pathlib.Path(__file__).resolve().parents[2]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
HELLO = """
    hello:
      respond: {body: "hello"}
      routes: [{path: "/*", methods: [GET, HEAD, POST]}]
    """

# Debian's packages of both: tuning/setup.sh installs them.
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool")
needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus"),
                                      reason="there is no Prometheus")


def scrape(gateway, accept=None, method="GET"):
    """Headers and text."""
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.metrics_port}/metrics",
                                     headers={"Accept": accept} if accept else {}, method=method)
    with urllib.request.urlopen(request, timeout=patience(10)) as answer:
        return answer.headers, answer.read().decode()


LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? '
                  r'([0-9.]+)$')


def samples(text):
    """{(name, labels as a sorted tuple): value}; every line must be one of ours."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = LINE.match(line)
        assert match, f"no sample: {line!r}"
        labels = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2] or "")
        key = (match[1], tuple(sorted(labels)))
        assert key not in found, f"twice: {line}"
        found[key] = float(match[3])
    return found


def value(text, name, **labels):
    """Sum over all series of that name that have these labels, at least one."""
    wanted = set(labels.items())
    values = [v for (n, has), v in samples(text).items() if n == name and wanted <= set(has)]
    assert values, f"no {name} with {labels}"
    return sum(values)


def families(text):
    """{name: type} in the order of the text."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


class Traffic:
    """A gateway that has had requests of many kinds."""

    def __enter__(self):
        self.origin = Origin().__enter__()
        dead = free_port()
        self.gateway = Ringway(f"""
            shop:
              targets: [{{url: "http://127.0.0.1:{self.origin.port}"}}]
              routes: [{{path: "/shop/*", name: 'cart "1" \\'}}]
            gone:
              targets: [{{url: "http://127.0.0.1:{dead}"}}]
              routes: [{{path: /gone}}]
            hello:
              respond: {{body: "hello"}}
              routes: [{{path: /hello, methods: [GET, HEAD]}}]
            """, shards=2).__enter__()
        for _ in range(3):
            assert self.gateway.get("/shop/a").status == 200
        assert self.gateway.get("/gone").status == 502
        assert self.gateway.get("/hello").status == 200
        assert self.gateway.get("/nowhere").status == 404
        with self.gateway.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
            assert client.response().status == 400
        eventually(lambda: value(scrape(self.gateway)[1], "ringway_shard_requests_total") == 7)
        return self.gateway

    def __exit__(self, *why):
        self.gateway.__exit__(*why)
        self.origin.__exit__(*why)


# What the text is

@needs_promtool
def test_promtool_finds_nothing():
    with Traffic() as gateway:
        _, text = scrape(gateway)
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True, timeout=patience(20))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_openmetrics_is_read_by_prometheus_own_library():
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    with Traffic() as gateway:
        headers, text = scrape(gateway, OPENMETRICS)
        assert headers["Content-Type"] == \
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert text.endswith("\n# EOF\n")
        read = {family.name: family for family in parser.text_string_to_metric_families(text)}
        assert read["ringway_shard_busy_seconds"].unit == "seconds"
        assert read["ringway_build"].type == "info"
        assert read["ringway_request_size_bytes"].type == "histogram"
        requests = {tuple(sorted(s.labels.items())): s.value
                    for s in read["ringway_requests"].samples}
        assert requests[(("method_class", "read"), ("route", 'cart "1" \\'), ("service", "shop"),
                         ("status_class", "2xx"))] == 3


def test_both_formats_tell_the_same_series():
    with Traffic() as gateway:
        plain, opened = samples(scrape(gateway)[1]), samples(scrape(gateway, OPENMETRICS)[1])
        assert plain.keys() == opened.keys()


def test_the_format_is_what_the_request_asks_for():
    with Ringway(HELLO) as gateway:
        for accept in (None, "*/*", "application/json", "text/html;q=0.3, */*;q=0.1"):
            headers, text = scrape(gateway, accept)
            assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert headers["Vary"] == "Accept"
            assert int(headers["Content-Length"]) == len(text)
            assert "# EOF" not in text


def test_head_has_the_fields_alone_and_other_methods_are_refused():
    with Ringway(HELLO) as gateway:
        headers, text = scrape(gateway, OPENMETRICS, "HEAD")
        assert headers["Content-Type"].startswith("application/openmetrics-text")
        assert text == ""
        with pytest.raises(urllib.error.HTTPError) as refused:
            scrape(gateway, method="POST")
        assert refused.value.code == 405
        assert refused.value.headers["Allow"] == "GET, HEAD"
        # The connection goes on behind both.
        with RawClient(gateway.metrics_port) as client:
            client.send(b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.response("HEAD").status == 200
            assert client.get("/metrics").status == 200
            assert client.get("/health").body == b"ok\n"


# The figures

def test_figures_are_what_the_clients_saw():
    with Traffic() as gateway:
        _, text = scrape(gateway)
        requests = "ringway_requests_total"
        assert value(text, requests) == 7
        assert value(text, requests, service="shop", status_class="2xx") == 3
        assert value(text, requests, service="gone", status_class="5xx") == 1
        assert value(text, requests, service="hello", method_class="read") == 1
        assert value(text, requests, service="", status_class="4xx") == 2
        assert value(text, "ringway_request_duration_seconds_count") == 7
        assert value(text, "ringway_request_size_bytes_count") == 7
        assert value(text, "ringway_upstream_first_byte_seconds_count", service="shop") == 3
        assert value(text, "ringway_request_errors_total",
                     cause="upstream_connect_refused") == 1
        assert value(text, "ringway_target_attempts_total", service="shop") == 3
        assert value(text, "ringway_target_attempts_failed_total", service="gone") >= 1
        assert value(text, "ringway_target_connects_total", service="shop") + \
            value(text, "ringway_target_reused_total", service="shop") == 3
        assert value(text, "ringway_connections_accepted_total") == 7
        assert value(text, "ringway_config_generation") == 1


def test_buckets_are_cumulative_and_end_with_all():
    with Traffic() as gateway:
        series = {}
        for (name, labels), count in samples(scrape(gateway)[1]).items():
            if not name.endswith("_bucket"):
                continue
            bound = float(dict(labels)["le"].replace("+Inf", "inf"))
            rest = tuple(pair for pair in labels if pair[0] != "le")
            series.setdefault((name, rest), []).append((bound, count))
        assert len(series) >= 8
        for buckets in series.values():
            assert len(buckets) in (14, 17)
            assert buckets == sorted(buckets)
            assert [n for _, n in buckets] == sorted(n for _, n in buckets)
            assert buckets[-1][0] == float("inf")


def test_the_gateways_own_sites_do_not_count():
    with Ringway(HELLO) as gateway:
        assert gateway.get("/").status == 200
        for _ in range(20):
            scrape(gateway)
            gateway.probe("/health")
            gateway.status()
        assert eventually(lambda: value(scrape(gateway)[1], "ringway_connections") == 0)
        _, text = scrape(gateway)
        assert value(text, "ringway_requests_total") == 1
        assert value(text, "ringway_shard_requests_total") == 1
        assert value(text, "ringway_connections_accepted_total") == 1
        assert value(text, "ringway_request_size_bytes_count") == 1
        assert value(text, "ringway_scrapes_total") >= 20


def test_reloads_are_told():
    with Ringway(HELLO) as gateway:
        before = value(scrape(gateway)[1], "ringway_config_last_reload_timestamp_seconds")
        assert gateway.admin("reload").returncode == 0
        gateway.config_path.write_text("nonsense: [")
        assert gateway.admin("reload").returncode != 0
        _, text = scrape(gateway)
        assert value(text, "ringway_config_reloads_total", result="ok") == 1
        assert value(text, "ringway_config_reloads_total", result="failed") == 1
        assert value(text, "ringway_config_generation") == 2
        assert value(text, "ringway_config_last_reload_timestamp_seconds") > before


def test_the_process_is_told_by_its_standard_names():
    with Ringway(HELLO) as gateway:
        _, text = scrape(gateway)
        assert value(text, "process_open_fds") == pytest.approx(gateway.process.fd_count(), abs=2)
        assert 10**6 < value(text, "process_resident_memory_bytes") \
            < value(text, "process_virtual_memory_bytes")
        assert value(text, "process_cpu_seconds_total") > 0
        assert value(text, "ringway_shard_info", shard="control") == 1


def test_limits_tell_what_they_decided():
    with Ringway("""
        hello:
          respond: {body: "hello"}
          routes: [{path: /few, limits: few}, {path: /free}]
        """, shards=2, top="limits: {few: {key: ip, rate: 10/m, burst: 5}}") as gateway:
        seen = [gateway.get("/few").status for _ in range(20)]
        assert seen == [200] * 5 + [429] * 15
        assert gateway.get("/free").status == 200

        def decided():
            text = scrape(gateway)[1]
            return text if value(text, "ringway_limiter_keys") == 1 else None
        text = eventually(decided)
        outcomes = {outcome: value(text, "ringway_limit_decisions_total", limit="few",
                                   outcome=outcome)
                    for outcome in ("admitted", "refused", "no_room")}
        assert outcomes == {"admitted": 5, "refused": 15, "no_room": 0}
        assert value(text, "ringway_limit_wait_seconds_count") == 15
        assert 15 < value(text, "ringway_limit_wait_seconds_sum") <= 15 * 6
        assert value(text, "ringway_requests_total", status_class="4xx") == 15


def test_waits_are_those_that_clients_were_told():
    """A cap tells everyone the same second."""
    def waits_for_end(conn, _):
        conn.peer_closes()

    with Origin(by_path({"/cap": waits_for_end})) as origin, Ringway(f"""
        app: {{url: "{origin.url}", routes: [{{path: /cap, limits: cap}}]}}
        """, shards=2, top="""
            limits:
              cap: {key: ip, concurrency: 1}
            """) as gateway:
        with gateway.client() as holds:
            holds.send(b"GET /cap HTTP/1.1\r\nHost: a\r\n\r\n")
            assert eventually(lambda: gateway.gauges()["upstream_busy"] == 1)
            for _ in range(2):
                told = gateway.get("/cap")
                assert told.status == 429 and told.values("Retry-After") == [b"1"]
        text = scrape(gateway)[1]
        assert value(text, "ringway_limit_decisions_total", limit="cap", outcome="refused") == 2
        assert value(text, "ringway_limit_wait_seconds_count") == 2
        assert value(text, "ringway_limit_wait_seconds_sum") == 2


def test_keys_that_were_kept_over_a_restart_are_in_the_tables():
    def keys():
        return value(scrape(gateway)[1], "ringway_limiter_keys")

    with Ringway("""
        hello:
          respond: {body: "hello"}
          routes: [{path: /few, limits: few}, {path: /window, limits: window}]
        """, shards=2, options=("--keep-state",), top="""
            limits:
              few: {key: "header:X-Key", rate: 10/h, burst: 5}
              window: {key: "header:X-Key", rate: 10/h, algorithm: sliding_window}
            """) as gateway:
        with gateway.client() as client:
            for path, count in (("few", 30), ("window", 12)):
                for i in range(count):
                    client.send(f"GET /{path} HTTP/1.1\r\nHost: a\r\nX-Key: {i}\r\n\r\n"
                                .encode())
                    assert client.response().status == 200
        assert eventually(lambda: keys() == 42)
        gateway.stop()
        gateway.start()
        assert keys() == 42
        top = command("top", "--instance", gateway.instance, "--once", "--json")
        assert json.loads(top.stdout)["total"]["limit_keys"] == 42


@pytest.mark.skipif(not shutil.which("wrk"), reason="there is no wrk")
def test_a_hot_key_is_seen_while_it_is_hot():
    with Ringway("""
        hello:
          respond: {body: "hello"}
          routes: [{path: /, limits: most}]
        """, shards=2, top="limits: {most: {key: global, rate: 1000000/s, burst: 1000000}}") \
            as gateway:
        load = subprocess.Popen(["wrk", "-t1", "-c16", "-d10", f"http://127.0.0.1:{gateway.port}/"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            def is_hot():
                text = scrape(gateway)[1]
                return value(text, "ringway_limiter_hot_keys") == 1 and \
                    value(text, "ringway_limiter_tokens_on_lease") > 0
            assert eventually(is_hot, 8), scrape(gateway)[1]
        finally:
            load.terminate()
            load.wait()
        assert eventually(lambda: value(scrape(gateway)[1],
                                        "ringway_limiter_tokens_on_lease") == 0)
        _, text = scrape(gateway)
        assert value(text, "ringway_limiter_over_admitted_tokens_total") == 0
        assert value(text, "ringway_limiter_stranded_tokens") == 0
        assert value(text, "ringway_limiter_lease_hits_total") > 0
        assert value(text, "ringway_limiter_leased_tokens_total") >= \
            value(text, "ringway_limiter_returned_tokens_total") > 0
        assert value(text, "ringway_limit_decisions_total") == \
            value(text, "ringway_requests_total")


# The page of documentation

def test_every_metric_is_documented_and_there():
    page = (TREE / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| (counter|gauge|histogram) \| ([a-z_` ]*)\| (.*) \|$",
                      page, re.M)
    documented = {name: kind for name, kind, _, _ in rows}
    assert len(documented) == len(rows) > 80
    with Traffic() as gateway:
        _, text = scrape(gateway)
        assert documented == families(text)
        told = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.M))
        assert {name: words for name, _, _, words in rows} == told
        labels = {name: set(re.findall("`([a-z_]+)`", has)) for name, _, has, _ in rows}
        explained = set(re.findall("`([a-z_]+)`", "".join(
            line.split("|")[1] for line in page.split("## Label values")[1].split("##")[0]
            .splitlines()[4:] if line)))
        assert set().union(*labels.values()) - {"version", "wolfssl", "instance_name", "cpu"} \
            == explained
        for (name, has), _ in samples(text).items():
            family = name if name in labels else re.sub("_(bucket|count|sum)$", "", name)
            assert {label for label, _ in has} - {"le"} == labels[family], name


def test_other_pages_name_metrics_that_there_are():
    known = set(re.findall(r"^\| `([a-z0-9_]+)` \| ", (TREE / "docs" / "metrics.md").read_text(),
                           re.M))
    pages = [TREE / "README.md", *(TREE / "docs").glob("*.md"), *(TREE / "docs/man").iterdir()]
    for page in pages:
        for name in re.findall(r"\bringway_[a-z0-9_]+", page.read_text()):
            assert known & {name, re.sub("_(bucket|count|sum)$", "", name)}, f"{page.name}: {name}"


# A real Prometheus

class Prometheus:
    def __init__(self, gateway, folder):
        self.folder = folder
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            "scrape_configs:\n- job_name: ringway\n  static_configs:\n"
            f"  - targets: ['127.0.0.1:{gateway.metrics_port}']\n")

    def __enter__(self):
        for attempt in range(3):
            self.port = free_port()
            self.process = Process(
                ["prometheus", f"--config.file={self.folder}/prometheus.yml",
                 f"--storage.tsdb.path={self.folder}/data{attempt}",
                 f"--web.listen-address=127.0.0.1:{self.port}"], self.folder, f"prom{attempt}")
            if eventually(lambda: not self.process.running() or self.is_ready(), 30, 0.2) \
                    and self.process.running():
                return self
            self.process.kill()
        raise AssertionError(self.process.stderr)

    def __exit__(self, *_):
        self.process.kill()

    def is_ready(self):
        try:
            return self.read("/-/ready")
        except OSError:
            return None

    def read(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def query(self, text):
        """{labels: value} of an instant vector."""
        answer = json.loads(self.read("/api/v1/query?" + urllib.parse.urlencode({"query": text})))
        assert answer["status"] == "success", answer
        return {tuple(sorted(row["metric"].items())): float(row["value"][1])
                for row in answer["data"]["result"]}


@needs_prometheus
def test_a_real_prometheus_answers_with_our_numbers(tmp_path):
    with Traffic() as gateway, Prometheus(gateway, tmp_path) as prometheus:
        by_service = "sum by (service, status_class) (ringway_requests_total)"
        expected = {(("service", "shop"), ("status_class", "2xx")): 3,
                    (("service", "gone"), ("status_class", "5xx")): 1,
                    (("service", "hello"), ("status_class", "2xx")): 1,
                    (("status_class", "4xx"),): 2}
        assert eventually(lambda: prometheus.query(by_service) == expected, 30, 0.3), \
            prometheus.query(by_service)
        assert list(prometheus.query("up").values()) == [1]
        for _ in range(5):
            assert gateway.get("/hello").status == 200
        hello = 'ringway_request_duration_seconds_count{service="hello"}'
        assert eventually(lambda: list(prometheus.query(hello).values()) == [6], 30, 0.3)
        p99 = "histogram_quantile(0.99, sum by (le) (ringway_request_duration_seconds_bucket))"
        (p99_s,) = prometheus.query(p99).values()
        assert 0 < p99_s < 10.49
        # It asked for OpenMetrics, and took every line.
        assert list(prometheus.query("scrape_samples_scraped").values())[0] == \
            pytest.approx(len(samples(scrape(gateway)[1])), abs=5)
        targets = json.loads(prometheus.read("/api/v1/targets"))["data"]["activeTargets"]
        assert [target["lastError"] for target in targets] == [""]


# Many, slow, gone

ROUTES = 250


def many_routes():
    routes = ", ".join(f"{{path: /r{i}, name: route-number-{i}}}" for i in range(ROUTES))
    return Ringway(f"""
        many:
          respond: {{body: "x"}}
          routes: [{routes}]
        """)


def visit_all(gateway):
    with gateway.client() as client:
        for i in range(ROUTES):
            assert client.get(f"/r{i}").status == 200


def test_a_large_text_is_sent_whole():
    with many_routes() as gateway:
        visit_all(gateway)
        headers, text = scrape(gateway)
        assert int(headers["Content-Length"]) == len(text) > 500000
        assert len(samples(text)) > 5000
        assert value(text, "ringway_requests_total") == ROUTES
        assert value(text, "ringway_label_overflow_total", label="route") == 0


class OneRoute(Ringway):
    def config_text(self):
        return super().config_text().replace("monitoring:\n", "monitoring:\n  label_budget: 1\n")


def test_routes_above_the_budget_share_a_series():
    with OneRoute("""
        many:
          respond: {body: "x"}
          routes: [{path: /a, name: a}, {path: /b, name: b}, {path: /c, name: c}]
        """) as gateway:
        for path in ("/a", "/b", "/c"):
            assert gateway.get(path).status == 200
        assert eventually(lambda: value(scrape(gateway)[1], "ringway_shard_requests_total") == 3)
        _, text = scrape(gateway)
        assert value(text, "ringway_requests_total", route="a") == 1
        assert value(text, "ringway_requests_total", route="__overflow__") == 2
        assert value(text, "ringway_label_overflow_total", label="route") == 2


def slow_scrape(gateway):
    """A client that asks and does not read."""
    client = RawClient(gateway.metrics_port, receive_buffer=4096, keep_log=False)
    return client.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")


def test_scrapes_that_nobody_reads_are_few_and_leave_nothing():
    with many_routes() as gateway:
        visit_all(gateway)
        with Quiet(gateway):
            slow = [slow_scrape(gateway) for _ in range(8)]
            with RawClient(gateway.metrics_port) as client:
                def is_refused():
                    answer = client.get("/metrics", timeout_s=20)
                    return answer if answer.status == 503 else None
                refused = eventually(is_refused)
                assert refused, "a ninth scrape was taken"
                assert refused.value("Retry-After") == b"1"
                assert client.get("/ready").status == 200
            for client in slow[:4]:
                client.close()
            # One of the others reads on: its text is whole.
            answer = slow[4].response(timeout_s=30)
            assert answer.status == 200
            assert len(samples(answer.body.decode())) > 5000
            assert eventually(lambda: gateway_scrapes(gateway)), "no place came free"
            for client in slow[4:]:
                client.close()
        assert value(scrape(gateway)[1], "ringway_scrapes_refused_total") >= 1


def gateway_scrapes(gateway):
    try:
        return scrape(gateway)
    except urllib.error.HTTPError:
        return None


def test_two_thousand_scrapes_leave_nothing():
    with many_routes() as gateway:
        visit_all(gateway)

        def many(count):
            with RawClient(gateway.metrics_port, keep_log=False) as client:
                for i in range(count):
                    if i % 100 == 99:       # somebody goes away in the midst of one
                        slow_scrape(gateway).close()
                    accept = b"Accept: application/openmetrics-text\r\n" if i % 2 else b""
                    assert client.get("/metrics", extra=accept, timeout_s=20).status == 200
        times = 1 if SANITIZER else 4
        many(100)
        with Quiet(gateway):
            before = resident(gateway)
            many(500 * times)
        assert resident(gateway) - before < 8 << 20 or SANITIZER


def resident(gateway):
    return value(scrape(gateway)[1], "process_resident_memory_bytes")

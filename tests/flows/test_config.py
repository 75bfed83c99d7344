"""`ringway check`: every error at its place, in both formats, with stable exit codes."""

import json
import os
import re

import pytest

from harness.process import TREE
from harness.ringway import command

GOOD = """\
version: 1
gateway: {host: 127.0.0.1, port: 8080}
services:
  api:
    url: "http://127.0.0.1:9000"
    routes: [{path: /*}]
"""


@pytest.fixture
def check(tmp_path):
    """Writes the text to a file and checks it."""
    def run(text, *options, name="gateway.yaml", env=None):
        (tmp_path / name).write_text(text)
        return command("check", name, *options, cwd=tmp_path, env={**os.environ, **(env or {})})
    return run


def issues(done):
    report = json.loads(done.stdout)
    assert report["errors"] + report["warnings"] == len(report["issues"])
    return report["issues"]


def test_a_good_file_is_good(check):
    done = check(GOOD)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_good_file_in_json(check):
    done = check(GOOD, "--json")
    assert done.returncode == 0
    assert issues(done) == []


def test_an_error_has_place_path_source_caret_and_suggestion(check):
    done = check(GOOD + "    timeuot: 5s\n")
    assert done.returncode == 1
    assert (done.stdout + done.stderr).rstrip().splitlines()[:3] == [
        "gateway.yaml:7:5: error: services.api: unknown key `timeuot`; did you mean `timeout`?",
        "    7 |     timeuot: 5s",
        "      |     ^^^^^^^",
    ]


def test_certificates_are_read_and_said_at_their_place(check):
    done = check("""\
version: 1
listeners:
  - address: 127.0.0.1:8443
    tls:
      certificates: [{cert: none.pem, key: none.key}]
services: {api: {respond: {status: 200}, routes: [{path: /*}]}}
""")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"gateway.yaml:5:29: error: listeners\[0\].tls.certificates\[0\].cert: "
                        r"\S*none.pem: cannot be read: No such file or directory", lines[0])
    assert lines[2] == "      |                             ^^^^^^^^"
    assert lines[-1] == "gateway.yaml: 2 errors, 0 warnings"


BROKEN = """\
version: 1
gatway: {port: 8080}
gateway: {host: 127.0.0.1, port: 808080}
client: {head_time: soon}
services:
  api:
    url: "ftp://127.0.0.1:9000"
    routes:
      - path: items
      - {path: /a, methods: [GET], servce: api}
  empty:
    routes: [{path: /b}]
"""

# Line of each error of BROKEN and a word that its message or path must have.
BROKEN_AT = [(2, "gatway"), (3, "port"), (4, "head_time"), (7, "url"), (9, "path"),
             (10, "servce"), (11, "empty")]


def test_all_errors_come_in_one_run(check):
    done = check(BROKEN, "--json")
    assert done.returncode == 1
    found = issues(done)
    assert all(issue["severity"] == "error" for issue in found)
    for line, word in BROKEN_AT:
        near = [i for i in found if i["line"] in (line, line + 1)
                and word in i["path"] + i["message"]]
        assert near, (line, word, found)
    assert len(found) == len(BROKEN_AT), found


def test_both_formats_say_the_same(check):
    in_json = issues(check(BROKEN, "--json"))
    done = check(BROKEN)
    in_text = re.findall(r"^gateway\.yaml:(\d+):(\d+): error: ", done.stdout + done.stderr, re.M)
    assert [(int(line), int(column)) for line, column in in_text] == \
        [(issue["line"], issue["column"]) for issue in in_json]
    lines = BROKEN.splitlines()
    for issue in in_json:
        assert issue["source"] == lines[issue["line"] - 1]
        assert issue["column"] + issue["width"] - 1 <= len(issue["source"])


# Name, text, line of the error, a word that its path or message must have.
ERRORS = [
    ("duplicate key", GOOD + "version: 1\n", 7, "version"),
    ("tab as indentation", GOOD + "\tx: 1\n", 7, ""),
    ("bracket that the end of the file leaves open", GOOD + "trusted: [\n", 8, ""),
    ("list instead of mapping", GOOD.replace("{host: 127.0.0.1, port: 8080}", "[1]"), 2,
     "gateway"),
    ("number out of range", GOOD.replace("8080", "70000"), 2, "port"),
    ("unit that is none", GOOD + "client: {keepalive: 5 parsecs}\n", 7, "keepalive"),
    ("size that is none", GOOD + "client: {max_head: lots}\n", 7, "max_head"),
    ("network that is none", GOOD + 'trusted: ["10.0.0.0/99"]\n', 7, "trusted"),
    ("target with a path", GOOD.replace(":9000", ":9000/x"), 5, "url"),
    ("service that is not there", GOOD.replace("path: /*", "path: /*, service: ape"), 6, "ape"),
    ("method that is no token", GOOD.replace("path: /*", "path: /*, methods: ['G T']"), 6,
     "methods"),
    ("unset variable", GOOD.replace("127.0.0.1:9000", "${NOT_SET_HERE}:9000"), 5,
     "NOT_SET_HERE"),
    ("missing file of a substitution",
     GOOD.replace('"http://127.0.0.1:9000"', '"${file:/nonexistent/x}"'), 5, "/nonexistent/x"),
    ("missing include", GOOD + "include: [more.yaml]\n", 7, "more.yaml"),
    ("key that is not built", GOOD + "cors: {}\n", 7, "not supported yet"),
    ("two listeners on one address",
     GOOD + 'listeners: [{name: b, address: "127.0.0.1:8080"}]\n', 7, "8080"),
    ("the same route twice", GOOD.replace("[{path: /*}]", "[{path: /a}, {path: /a}]"), 6, "/a"),
    ("TLS 1.1", GOOD + 'listeners: [{address: ":8443", tls: {certificates: [{cert: a, key: b}], '
     'min_version: "1.1"}}]\n', 7, "TLS 1.0 and 1.1 are not supported"),
    ("PROXY headers from anyone",
     GOOD + 'listeners: [{address: ":8443", proxy_protocol: v2}]\n', 7, "needs `trusted`"),
    ("tls towards targets that are plain", GOOD + "    tls: {}\n", 7, "no target is https://"),
    ("a limit's key that is none", GOOD + "    rate_limit: {}\nlimits: {a: {key: ipp, rate: 1/s}}\n",
     8, "did you mean `ip`?"),
    ("a limit that is not there", GOOD.replace("/*}", "/*, limits: [a, b]}") +
     "limits: {a: {key: ip, rate: 1/s}}\n", 6, "no limit `b`"),
    ("two rates", GOOD + "rate_limit: {default: {rate: 1/s, requests_per_second: 1}}\n", 7,
     "exclude each other"),
    ("a burst that lets nobody pass",
     GOOD + "rate_limit: {default: {rate: 9/s, burst: 3, cost: 4}}\n", 7, "no request can pass"),
    ("a limit that nobody has", GOOD + "limits: {a: {key: ip, rate: 1/s}}\n", 7,
     "no route has this limit"),
    ("a limit behind a narrower one", GOOD.replace("/*}", "/*, rate_limit: {rate: 2/s}}") +
     "rate_limit: {default: {rate: 3/s}}\n", 7, "limit `default` can never be reached: "
     "`route:api/api[0]` (gateway.yaml:6)"),
    ("limits by consumer", GOOD.replace("/*}", "/*, limits: a}") +
     "limits: {a: {key: consumer, rate: 1/s}}\n", 7, "`consumer` is not supported yet"),
    ("a limit across machines", GOOD.replace("/*}", "/*, limits: a}") +
     "limits: {a: {key: ip, rate: 1/s, scope: cluster}}\n", 7, "`cluster` is not supported yet"),
    ("limits of who is authenticated", GOOD + "rate_limit: {authenticated: {rate: 1/s}}\n", 7,
     "`authenticated` is not supported yet"),
    ("a version that is not this one", GOOD.replace("version: 1", "version: 2"), 1, "version"),
]


@pytest.mark.parametrize("text, line, words", [row[1:] for row in ERRORS],
                         ids=[row[0] for row in ERRORS])
def test_error(check, text, line, words):
    found = issues(check(text, "--json", "--strict"))
    assert any(issue.get("line") == line and words in issue["path"] + issue["message"]
               for issue in found), found


def test_a_warning_is_an_error_only_when_strict(check):
    """A route that another one of the same service hides can never be reached."""
    text = GOOD.replace("[{path: /*}]", "[{path: /a}, {path: /a}]")
    severities = {issue["severity"] for issue in issues(check(text, "--json"))}
    assert severities
    assert check(text).returncode == (1 if "error" in severities else 0)
    assert check(text, "--strict").returncode == 1


def test_limits_are_good(check):
    done = check(GOOD.replace("/*}", "/*, name: all, rate_limit: {requests_per_second: 50}, "
                                     "limits: [keys, mine]}") + """\
rate_limit: {default: {requests_per_second: 0.5, burst: 200, concurrency: 10}}
limits:
  keys: {key: "header:X-Api-Key", rate: 1000/h, algorithm: sliding_window, headers: x-ratelimit}
  mine: {key: [ip/24/56, route], rate: 9/m, burst: 90, cost: 3, on_full: closed, scope: node}
runtime: {limit_keys: 1024, limit_windows: 1024, metrics_memory: private}
monitoring: {label_budget: 10}
""", "--strict")
    assert done.returncode == 0, done.stdout


def test_targets_that_are_not_verified_are_warned_of(check):
    text = GOOD.replace("http://", "https://")
    assert check(text, "--strict").returncode == 0
    text += "    tls: {verify: false}\n"
    (issue,) = issues(check(text, "--json"))
    assert (issue["severity"], issue["line"]) == ("warning", 7)
    assert "not verified" in issue["message"]
    assert check(text).returncode == 0
    assert check(text, "--strict").returncode == 1


def test_values_come_from_the_environment(check):
    text = GOOD.replace("127.0.0.1:9000", "${TARGET_HOST}:${TARGET_PORT:-9000}")
    assert check(text, env={"TARGET_HOST": "127.0.0.1"}).returncode == 0
    assert check(text, env={"TARGET_HOST": "no host"}).returncode == 1


def test_a_value_cannot_inject_yaml(check):
    done = check(GOOD.replace("127.0.0.1:9000", "${INJECTED}"), "--json",
                 env={"INJECTED": '127.0.0.1:9000"\nevil: "1'})
    assert done.returncode == 1
    assert not any("evil" == issue["path"] or "unknown key `evil`" in issue["message"]
                   for issue in issues(done))


def test_values_come_from_files(check, tmp_path):
    (tmp_path / "target").write_text("http://127.0.0.1:9000\n")
    assert check(GOOD.replace('"http://127.0.0.1:9000"',
                              f'"${{file:{tmp_path}/target}}"')).returncode == 0


def test_an_included_file_is_checked_and_named(check, tmp_path):
    main = 'version: 1\ngateway: {host: 127.0.0.1, port: 8080}\ninclude: [services.yaml]\n'
    services = 'services:\n  api:\n    url: "http://127.0.0.1:9000"\n    routes: [{path: /*}]\n'
    (tmp_path / "services.yaml").write_text(services)
    assert check(main).returncode == 0
    (tmp_path / "services.yaml").write_text(services + "    rutes: []\n")
    done = check(main, "--json")
    assert done.returncode == 1
    (issue,) = issues(done)
    assert issue["file"].endswith("services.yaml")
    assert (issue["line"], issue["column"]) == (5, 5)


def test_a_file_that_is_not_there(tmp_path):
    done = command("check", tmp_path / "none.yaml")
    assert done.returncode == 1
    assert "none.yaml" in done.stderr + done.stdout


@pytest.mark.parametrize("arguments", [
    ["check"], ["check", "--no-such-option", "x.yaml"], ["no-such-command"], ["run"],
    ["reload", "surplus"],
], ids=" ".join)
def test_misuse_exits_with_2(arguments):
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stderr.strip()


@pytest.mark.parametrize("name", ["", "run", "check", "proxy", "origin", "status", "reload",
                                  "version"])
def test_each_command_has_help(name):
    done = command(*filter(None, [name, "--help"]))
    assert done.returncode == 0
    assert f"ringway {name}".strip() in done.stdout


def test_version_names_what_is_compiled_in():
    done = command("version")
    assert done.returncode == 0
    assert re.match(r"ringway \d+\.\d+", done.stdout)
    assert "wolfSSL" in done.stdout


def test_output_has_no_colour_without_a_terminal(check):
    done = check(BROKEN)
    assert "\033" not in done.stdout + done.stderr


def test_secrets_are_not_shown(check):
    done = check(GOOD + "auth: {jwt_secret: hunter2hunter2hunter2hunter2hunter2}\n")
    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr


def test_the_real_file_lists_exactly_what_is_not_built():
    env = {name: value for name, value in os.environ.items() if name != "JWT_SECRET"}
    path = TREE / "configs" / "arx-gateway.yaml"
    done = command("check", path, "--json", env=env)
    assert done.returncode == 1
    expected = [("", "auth"), ("rate_limit", "authenticated"), ("rate_limit", "admin"),
                ("monitoring", "circuit_breaker"), ("monitoring", "health_check_interval")]
    for service in ("svg-parser", "cmms-service", "database-infra"):
        expected += [(f"services.{service}", "health"), (f"services.{service}", "retries"),
                     (f"services.{service}.routes[0]", "auth")]
    lines = path.read_text().splitlines()
    found = []
    for issue in issues(done):
        key = re.fullmatch(r"`(.+)` is not supported yet", issue["message"])
        assert key, issue
        assert lines[issue["line"] - 1][issue["column"] - 1:].startswith(key[1] + ":")
        found.append((issue["path"], key[1]))
    assert sorted(found) == sorted(expected)


def test_run_refuses_a_broken_file(tmp_path):
    (tmp_path / "gateway.yaml").write_text(BROKEN)
    done = command("run", tmp_path / "gateway.yaml")
    assert done.returncode == 1
    assert "did you mean `gateway`?" in done.stderr

"""The bench's own parts: what a row over TLS must prove before it has a figure."""

import json
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from harness.process import BINARY, TREE, patience

sys.path.insert(0, str(TREE / "bench"))
import compare  # noqa: E402
import idle  # noqa: E402

HANDSHAKES = BINARY.parent / "bench" / "handshakes"
ROWS = {row.name: row for row in compare.ROWS}
HALF_IDLE = compare.CoreTime(idle_s=0.5, steal_s=0)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Confined to whatever CPU there is: nothing is measured here."""
    cpu = min(os.sched_getaffinity(0))
    folder = tmp_path_factory.mktemp("bench")
    # nginx's workers drop root and have to get in.
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o011)
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin"
    tools = {tool: compare.shutil.which(tool, path=path)
             for tool in ("nginx", "haproxy", "wrk", "openssl")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "PROXY_CPU", cpu)
        patch.setattr(compare, "LOAD_CPU", cpu)
        made = compare.Bench(SimpleNamespace(**tools, handshakes=HANDSHAKES, connections=4,
                                             counters=False, limit=None), folder)
        made.make_certificate()
        yield made


@pytest.fixture(scope="module")
def origin_port(bench):
    origin, port = bench.start_origin()
    origin.wait_for_port(port)
    yield port
    origin.stop()


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def peer_port(request, bench, origin_port):
    peer, port = bench.start_peer(request.param, origin_port, tls=True)
    peer.wait_for_port(port)
    yield port
    peer.stop()


def handshakes(bench, port, **changed):
    if not HANDSHAKES.exists():
        pytest.skip("built without libssl-dev")
    options = {"connect": f"127.0.0.1:{port}", "ca": bench.dir / "cert.pem", "kind": "full",
               "path": "/64", "body": 64, "connections": 4, "seconds": 1, **changed}
    argv = [HANDSHAKES, *(str(part) for name, value in options.items()
                          for part in (f"--{name}", value))]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=patience(30))
    assert done.stderr == ""
    counts = json.loads(done.stdout)
    assert done.returncode == (1 if counts["errors"] else 0)
    return counts


@pytest.mark.parametrize("kind, other", [("full", "resumed"), ("resumed", "full")])
def test_every_request_has_one_handshake_of_the_kind_that_was_asked_for(
        bench, peer_port, kind, other):
    counts = handshakes(bench, peer_port, kind=kind)
    assert counts["errors"] == 0, counts["first_error"]
    assert counts["requests"] >= 4
    assert counts[kind] == counts["requests"]
    assert counts[other] == 0
    assert counts["bytes"] == 64 * counts["requests"]


def test_answers_of_another_length_status_or_certificate_are_errors(bench, peer_port):
    short = handshakes(bench, peer_port, body=65)
    assert short["requests"] == 0
    assert short["first_error"] == "the answer's length is not 65"
    missing = handshakes(bench, peer_port, path="/missing")
    assert missing["requests"] == 0
    assert missing["first_error"].startswith("not an answer with 200: HTTP/1.1 404")
    foreign = bench.dir / "foreign"
    foreign.mkdir(exist_ok=True)
    compare.Bench.make_certificate(SimpleNamespace(options=bench.options, dir=foreign))
    refused = handshakes(bench, peer_port, ca=foreign / "cert.pem")
    assert refused["full"] == 0
    assert refused["first_error"] == "handshake: certificate verify failed"


def test_a_peer_that_ends_or_is_not_there_is_an_error_and_not_a_wait(bench):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    counts = handshakes(bench, port, seconds=60)
    assert counts["errors"] and counts["requests"] == 0
    assert counts["first_error"] == "handshake: Connection refused"


def test_tickets_that_the_peer_does_not_take_back_make_no_resumed_row(
        bench, origin_port, monkeypatch):
    """With tickets off OpenSSL still sends some, and here there is no cache behind them."""
    monkeypatch.setitem(compare.LISTEN_TLS, "nginx",
                        compare.LISTEN_TLS["nginx"] + ";\n\t\tssl_session_tickets off")
    peer, port = bench.start_peer("nginx", origin_port, tls=True)
    try:
        peer.wait_for_port(port)
        counts = handshakes(bench, port, kind="resumed")
    finally:
        peer.stop()
    assert counts["resumed"] == 0
    assert counts["full"] == counts["requests"] > 0
    with pytest.raises(compare.Invalid, match="want resumed ones"):
        compare.sample(ROWS["tls-resumed"], "nginx", counts, {}, 0, 0.5, HALF_IDLE, 1.0)


def test_the_answers_of_a_peer_over_tls_are_checked_byte_by_byte(bench, peer_port):
    for name in ("tls-64", "tls-1m", "tls-full"):
        bench.check_answers(ROWS[name], peer_port)
    with pytest.raises(compare.Invalid, match="another body"):
        bench.check_answers(compare.Row("x", "", "/64", 16 << 10, tls=True), peer_port)
    with pytest.raises(compare.Invalid):
        bench.check_answers(ROWS["64"], peer_port)


def test_wrk_offers_what_the_other_client_offers_or_the_row_is_off(bench):
    bench.check_wrk_offers(ROWS["tls-64"])
    config = bench.dir / "load-tls.cnf"
    for right, wrong in (("Groups = X25519", "Groups = P-256"),
                         ("MinProtocol = TLSv1.3", "MinProtocol = TLSv1.2"),
                         ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384")):
        config.write_text(compare.LOAD_TLS.replace(right, wrong))
        with pytest.raises(compare.Broken, match="wrk offers other"):
            bench.check_wrk_offers(ROWS["tls-64"])
    config.write_text(compare.LOAD_TLS)


def sample(row, **changed):
    counts = {"requests": 1000, "bytes": 1000 * row.body_bytes, "duration_us": 10 ** 6,
              "full": 0, "resumed": 0, "errors": 0, "first_error": "",
              **({row.handshakes: 1000} if row.handshakes else {}), **changed}
    return compare.sample(row, "nginx", counts, {}, accepts=10, own_s=0.5, core=HALF_IDLE,
                          wall_s=1.0)


@pytest.mark.parametrize("name, changed, why", [
    ("tls-resumed", {"full": 1}, "1 full and 1000 resumed handshakes for 1000 requests"),
    ("tls-resumed", {"resumed": 999, "full": 1}, "want resumed ones"),
    ("tls-full", {"resumed": 1}, "want full ones"),
    ("tls-full", {"full": 900}, "900 full"),
    ("tls-full", {"errors": 2, "first_error": "handshake: no"}, "2 errors, the first: handshake"),
    ("tls-full", {"requests": 0, "full": 0}, "not one request"),
    ("tls-1m", {"bytes": 1000}, "too few"),
    ("tls-64", {"read": 1}, "errors: 1 read"),
])
def test_a_row_whose_proof_fails_has_no_figure(name, changed, why):
    with pytest.raises(compare.Invalid, match=why):
        sample(ROWS[name], **changed)


def test_a_row_that_is_proved_has_its_figures():
    assert sample(ROWS["tls-full"])["own_us_per_request"] == 500
    assert sample(ROWS["tls-resumed"])["handshakes"] == {"full": 0, "resumed": 1000}
    assert sample(ROWS["tls-1m"])["own_ns_per_byte"] == pytest.approx(0.5 / 1000 / 2 ** 20 * 1e9)
    assert "own_ns_per_byte" not in sample(ROWS["tls-64"])


def test_the_table_prints_a_reason_where_there_is_no_figure(capsys):
    row = ROWS["tls-1m"]
    cells = {(row.name, "nginx"): {"invalid": [], "samples": [sample(row)]},
             (row.name, "ringway"): {"invalid": ["ended at start"], "samples": []}}
    peers = ["relay", "nginx", "ringway"]
    cost = compare.summarise(cells, counted=False)
    compare.print_table([row], peers, cells, cost, counted=False)
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0] == f"tls-1m: {row.what}"
    assert lines[1].split()[-1] == "ns/B"
    assert lines[2].split()[0] == "nginx" and lines[2].split()[-1] == "0.477"
    assert lines[3:] == ["ringway   INVALID: ended at start"]


def test_the_relay_has_no_rows_over_tls():
    pairs = compare.measured(compare.ROWS, compare.PEERS)
    assert (ROWS["64"], "relay") in pairs
    assert not [row for row, peer in pairs if row.tls and peer == "relay"]
    assert {row.name for row, peer in pairs if row.tls and peer == "ringway"} == {
        "tls-64", "tls-16k", "tls-1m", "tls-full", "tls-resumed"}


@pytest.mark.parametrize("tls", [False, True])
def test_idle_connections_stay_open_and_one_that_ends_is_found(bench, origin_port, tls):
    peer, port = bench.start_peer("nginx", origin_port, clients=64, tls=tls)
    try:
        peer.wait_for_port(port)
        held = idle.hold(port, 8, bench.bodies[64], bench.trust() if tls else None)
        idle.check_still_open(held)
    finally:
        peer.stop()
    with pytest.raises(compare.Invalid, match="did not stay open"):
        idle.check_still_open(held)
    idle.drop(held)

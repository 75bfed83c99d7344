"""PROXY headers before plain and TLS listeners, raw and from HAProxy; listeners that redirect."""

import pathlib
import shutil
import socket
import struct
import tempfile

import pytest

from harness.client import RawClient
from harness.origin import Origin
from harness.process import Process, eventually, free_port
from harness.ringway import Quiet
from harness.tls import HalfHandshake, Tls, ask, connected, context, hello, pairs

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = "203.0.113.7"
CLIENT6 = "2001:db8::7"


def v1(line="TCP4 203.0.113.7 198.51.100.1 56324 443"):
    return f"PROXY {line}\r\n".encode()


def v2(source=CLIENT, command=1, tlvs=b""):
    if command == 0:
        return SIGNATURE + b"\x20\x00" + struct.pack("!H", len(tlvs)) + tlvs
    if ":" in source:
        family, to = b"\x21", "2001:db8::1"
        packed = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, to)
    else:
        family, to = b"\x11", "198.51.100.1"
        packed = socket.inet_aton(source) + socket.inet_aton(to)
    body = packed + struct.pack("!HH", 56324, 443) + tlvs
    return SIGNATURE + b"\x21" + family + struct.pack("!H", len(body)) + body


@pytest.fixture(scope="module")
def origin():
    with Origin() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(site, origin):
    """Trusts 127.0.0.1 alone, so that 127.0.0.2 is a stranger."""
    tls = f"tls: {{certificates: {pairs([site])}}}"
    services = f"""
    echo:
      url: "{origin.url}"
      routes: [{{path: /*}}]
    """
    kinds = ("v1", "v2", "any")
    with Tls([site], services, shards=2, client="handshake_time: 1s",
             top='trusted: ["127.0.0.1/32"]',
             more={**{f"plain-{kind}": f"proxy_protocol: {kind}" for kind in kinds},
                   **{f"tls-{kind}": f"proxy_protocol: {kind}, {tls}" for kind in kinds},
                   "redirects": "redirect_https: true",
                   "redirects-behind": "redirect_https: true, proxy_protocol: any"}) as running:
        running.origin = origin
        yield running


_numbers = iter(range(1 << 30))


def request(ca, gateway, listener, header, size=None):
    """One request behind `header`, in pieces of `size` bytes; the client of its log record and
    the origin's X-Forwarded-For."""
    path = f"/{listener}-{next(_numbers)}"
    with RawClient(gateway.ports[listener]) as client:
        def send(data):
            client.send_pieces(data, size, 0.0002) if size else client.send(data)
        text = f"GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode()
        if listener.startswith("plain"):
            send(header + text)
            assert client.response().status == 200
        else:
            half = HalfHandshake(context(ca))
            # The hello comes in one piece with the header, as a proxy would have them queued.
            send(header + half.step())
            while not half.done:
                client.send(half.step(client.sock.recv(65536)))
            half.tls.write(text)
            client.send(half.outgoing.read())
            half.incoming.write(client.rest())
            assert half.tls.read(65536).startswith(b"HTTP/1.1 200")
    named = told(gateway, path).value("X-Forwarded-For").decode()
    return gateway.record(path=path)["client"], named


def told(gateway, path):
    """The request as the origin got it."""
    [found] = [r for r in gateway.origin.requests if r.target.decode() == path]
    return found


GOOD = {
    "v1": v1(), "v2": v2(), "v1 ip6": v1(f"TCP6 {CLIENT6} 2001:db8::1 1 2"), "v2 ip6": v2(CLIENT6),
    "v2 tlvs": v2(tlvs=b"\x01\x00\x08http/1.1\x04\x00\x40" + bytes(64)),
}
LISTENERS = ["plain-v1", "plain-v2", "plain-any", "tls-v1", "tls-v2", "tls-any"]


def allowed(listener, name):
    return listener.endswith("any") or listener.endswith(name[:2])


@pytest.mark.parametrize("listener,name",
                         [(l, n) for l in LISTENERS for n in GOOD if allowed(l, n)])
@pytest.mark.parametrize("size", [None, 1])
def test_the_client_is_whom_the_header_names(ca, gateway, listener, name, size):
    wanted = CLIENT6 if "ip6" in name else CLIENT
    with Quiet(gateway):
        assert request(ca, gateway, listener, GOOD[name], size) == (wanted, wanted)


@pytest.mark.parametrize("listener,header", [
    ("plain-v2", v2(command=0)), ("tls-v2", v2(command=0)), ("plain-any", v1("UNKNOWN")),
    ("tls-v1", v1("UNKNOWN")), ("plain-v2", v2(command=0, tlvs=b"\x04\x00\x02ab")),
])
def test_a_header_of_the_balancer_itself_changes_nothing(ca, gateway, listener, header):
    assert request(ca, gateway, listener, header) == ("127.0.0.1", "127.0.0.1")


BAD = {
    "none": b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "no address": v1("TCP4 203.0.113.7 198.51.100.1 56324"),
    "a name": v1("TCP4 localhost 198.51.100.1 1 2"),
    "wrong family": v1(f"TCP4 {CLIENT6} 2001:db8::1 1 2"),
    "port": v1("TCP4 203.0.113.7 198.51.100.1 65536 443"),
    "endless": b"PROXY TCP4 " + b"1" * 200,
    "bare LF": b"PROXY TCP4 203.0.113.7 198.51.100.1 1 2\n",
    "version 3": SIGNATURE + b"\x31" + v2()[13:],
    "too short": SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
    "command": SIGNATURE + b"\x2f" + v2()[13:],
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("listener", ["plain-any", "tls-any"])
def test_a_bad_header_is_refused(gateway, listener, name):
    refused(gateway, listener, BAD[name], "proxy_header_bad")


@pytest.mark.parametrize("listener,header", [("plain-v1", v2()), ("plain-v2", v1()),
                                             ("tls-v1", v2()), ("tls-v2", v1())])
def test_the_other_version_is_refused(gateway, listener, header):
    refused(gateway, listener, header, "proxy_header_bad")


def test_tls_without_a_header_is_refused(ca, gateway):
    refused(gateway, "tls-any", hello(context(ca)), "proxy_header_bad")


def refused(gateway, listener, sent, cause, source="127.0.0.1"):
    before = sum(r.get("cause") == cause for r in gateway.records())
    with Quiet(gateway), socket.create_connection(("127.0.0.1", gateway.ports[listener]), 5,
                                                  source_address=(source, 0)) as sock:
        try:
            sock.sendall(sent)
            assert sock.recv(100) == b""
        except ConnectionError:
            pass
    assert eventually(lambda: sum(r.get("cause") == cause for r in gateway.records()) ==
                      before + 1)


@pytest.mark.parametrize("listener", ["plain-any", "tls-any"])
def test_a_stranger_is_refused(gateway, listener):
    refused(gateway, listener, v1(), "proxy_header_untrusted", source="127.0.0.2")


@pytest.mark.parametrize("listener", ["plain-any", "tls-any"])
@pytest.mark.parametrize("sent", [b"", b"PROXY TCP4 203", SIGNATURE + b"\x21"])
def test_a_header_that_does_not_end_is_closed_in_time(gateway, listener, sent):
    refused(gateway, listener, sent, "client_timeout")


def test_who_owes_a_header_takes_no_place_among_the_handshakes(ca, site):
    with Tls([site], client="handshake_time: 5m, max_handshakes: 1", top='trusted: ["127.0.0.1"]',
             more={"plain": "proxy_protocol: any"}) as gateway:
        with Quiet(gateway), RawClient(gateway.ports["plain"]) as waits, \
                RawClient(gateway.tls_port) as oldest:
            oldest.send(hello(context(ca))[:100])
            assert oldest.stays_open(0.2)
            with connected(gateway.tls_port, context(ca)) as s:
                assert ask(s, "/hello")[0] == 200
            assert oldest.ends()
            answer = waits.send(v1() + b"GET /hello HTTP/1.1\r\nHost: a.test\r\n"
                                b"Connection: close\r\n\r\n").rest()
            assert answer.startswith(b"HTTP/1.1 200")


def test_a_header_where_none_is_expected_is_garbage(gateway):
    refused(gateway, "secure", v1(), "tls_garbage")


# HAProxy

@pytest.fixture(scope="module")
def haproxy(gateway):
    """A TCP proxy before each listener; its ports by their names."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringway-haproxy-"))
    option = {"v1": "send-proxy", "v2": "send-proxy-v2"}
    names = [(l, o) for l in LISTENERS for o in option if l.endswith(("any", o))]
    for _ in range(3):
        ports = {name: free_port() for name in names}
        sections = "".join(f"""
listen {l}-{o}
    bind 127.0.0.1:{port}
    server s 127.0.0.1:{gateway.ports[l]} {option[o]}
""" for (l, o), port in ports.items())
        (folder / "haproxy.cfg").write_text(f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
{sections}
""")
        process = Process(["/usr/sbin/haproxy", "-db", "-f", folder / "haproxy.cfg"], folder, "run")
        last = list(ports.values())[-1]

        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", last)) == 0
        if eventually(lambda: not process.running() or listens()) and process.running():
            break
    else:
        raise AssertionError(process.stderr)
    yield ports
    process.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("listener,version", [(l, v) for l in LISTENERS for v in ("v1", "v2")
                                              if l.endswith(("any", v))])
def test_haproxy_names_its_client(ca, gateway, haproxy, listener, version):
    """127.0.0.9 is HAProxy's client, HAProxy is ours."""
    path = f"/haproxy-{listener}-{version}"
    port = haproxy[listener, version]
    if listener.startswith("tls"):
        with connected(port, context(ca), source="127.0.0.9") as s:
            assert ask(s, path)[0] == 200
    else:
        with socket.create_connection(("127.0.0.1", port), 5,
                                      source_address=("127.0.0.9", 0)) as s:
            assert ask(s, path)[0] == 200
    assert gateway.record(path=path)["client"] == "127.0.0.9"
    scheme = b"https" if listener.startswith("tls") else b"http"
    assert told(gateway, path).value("X-Forwarded-For") == b"127.0.0.9"
    assert told(gateway, path).value("X-Forwarded-Proto") == scheme


# Redirects

@pytest.mark.parametrize("host,target,place", [
    ("a.test", "/", "/"), ("a.test:8080", "/a/b?c=d&e", "/a/b?c=d&e"),
    ("A.test", "/a%20b%2Fc?", "/a%20b%2Fc?"), ("a.test", "//x", "//x"),
])
def test_a_plain_request_is_sent_to_https(gateway, host, target, place):
    with Quiet(gateway), RawClient(gateway.ports["redirects"]) as client:
        answer = client.get(target, host=host)
        assert answer.status == 308
        # The port of the first listener with TLS.
        assert answer.value("Location").decode().lower() == \
            f"https://a.test:{gateway.tls_port}{place}".lower()
        assert client.get(target, host=host).status == 308


def test_a_post_is_sent_on_with_its_method(gateway):
    with RawClient(gateway.ports["redirects"]) as client:
        client.send(b"POST /form HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nabcd")
        answer = client.response()
        assert answer.status == 308     # not 301, which many take for GET
        assert answer.value("Location").endswith(b"/form")


def test_a_redirect_behind_a_balancer_works(gateway):
    with RawClient(gateway.ports["redirects-behind"]) as client:
        client.send(v2())
        assert client.get("/behind").status == 308
    assert gateway.record(path="/behind")["client"] == CLIENT

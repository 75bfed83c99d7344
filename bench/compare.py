"""Cost per request of proxies that each have CPU 0 for themselves.

One cell is one kind of request (row) through one proxy (peer), for a fixed time.
Peer and origin are started for the cell and stopped after it, so that nothing of
another peer shares the core. Before a cell counts, the peer has to give the right
answer; a cell with an error of any kind gets INVALID instead of a figure.
"""
import argparse
import contextlib
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent
PROXY_CPU, LOAD_CPU = 0, 1
CLOCK_TICK = os.sysconf("SC_CLK_TCK")
COUNTERS = ("instructions", "cycles")
START_LIMIT_S = 10
STOP_LIMIT_S = 5
# Time that CPU 0 spent on others than the peer. Above this share the figures of the
# whole core are not the peer's any more; waking from idle and interrupts stay below.
DISTURBED_SHARE = 0.10
# New connections to the origin per request above which keep-alive counts as off.
KEPT_ALIVE_SHARE = 0.02


@dataclass(frozen=True)
class Row:
	name: str
	what: str
	path: str
	body_bytes: int
	posts: bool = False
	closes: bool = False
	tls: bool = False
	# "full" or "resumed": each request makes a connection with such a handshake.
	handshakes: str = ""

	@property
	def per_byte(self):
		"""Whether most of the work is with the body."""
		return self.body_bytes >= 16 << 10


ROWS = [
	Row("64", "GET 64 B, keep-alive", "/64", 64),
	Row("16k", "GET 16 KiB, keep-alive", "/16k", 16 << 10),
	Row("1m", "GET 1 MiB, keep-alive", "/1m", 1 << 20),
	Row("new", "GET 64 B, new connection per request", "/64", 64, closes=True),
	Row("post-16k", "POST 16 KiB, keep-alive", "/post", 16 << 10, posts=True),
	Row("post-1m", "POST 1 MiB, keep-alive", "/post", 1 << 20, posts=True),
	Row("tls-64", "GET 64 B over TLS, keep-alive", "/64", 64, tls=True),
	Row("tls-16k", "GET 16 KiB over TLS, keep-alive", "/16k", 16 << 10, tls=True),
	Row("tls-1m", "GET 1 MiB over TLS, keep-alive", "/1m", 1 << 20, tls=True),
	Row("tls-full", "GET 64 B, new connection and full TLS handshake per request", "/64", 64,
	    closes=True, tls=True, handshakes="full"),
	Row("tls-resumed", "GET 64 B, new connection and resumed TLS handshake per request", "/64",
	    64, closes=True, tls=True, handshakes="resumed"),
]
PEERS = ["relay", "nginx", "haproxy", "ringway"]
# Whose cost the others' is told as a multiple of.
BASES = ["relay", "nginx", "haproxy"]


def measured(rows, peers):
	"""The cells: the relay passes bytes on and speaks no TLS."""
	return [(row, peer) for row in rows for peer in peers if not (row.tls and peer == "relay")]



class Invalid(Exception):
	"""This cell has no figure, and why."""


class Broken(Exception):
	"""The bench itself cannot go on, and why."""


# ---- processes ------------------------------------------------------------------------


class Process:
	"""One child confined to one CPU, with all that it starts; stopped by its id."""

	def __init__(self, name, argv, cpu, log):
		self.name = name
		self.log = log
		with open(log, "wb") as out:
			# A session of its own: Ctrl-C comes to us alone, and we stop them in order.
			self.popen = subprocess.Popen(
				["taskset", "-c", str(cpu), *map(str, argv)],
				stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
				start_new_session=True)

	def pids(self):
		"""This process and what descends from it."""
		found = [self.popen.pid]
		for pid in found:
			for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
				with contextlib.suppress(OSError):
					found += map(int, tasks.read_text().split())
		return found

	def cpu_s(self):
		ticks = 0
		for pid in self.pids():
			fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
			ticks += int(fields[11]) + int(fields[12])
		return ticks / CLOCK_TICK

	def check_confined(self, cpu):
		for pid in self.pids():
			for status in Path(f"/proc/{pid}/task").glob("*/status"):
				with contextlib.suppress(OSError):
					allowed = re.search(r"Cpus_allowed_list:\s*(\S+)", status.read_text())[1]
					if allowed != str(cpu):
						raise Invalid(f"a thread of {self.name} may run on CPUs {allowed}")

	def wait_for_port(self, port):
		deadline = time.monotonic() + START_LIMIT_S
		while time.monotonic() < deadline:
			if self.popen.poll() is not None:
				raise Invalid(f"{self.name} ended at start: {self.last_words()}")
			with contextlib.suppress(OSError):
				socket.create_connection(("127.0.0.1", port), timeout=1).close()
				return
			time.sleep(0.02)
		raise Invalid(f"{self.name} does not accept on port {port}: {self.last_words()}")

	def last_words(self):
		lines = self.log.read_text(errors="replace").strip().splitlines()
		return " | ".join(lines[-12:]) or "no output"

	def stop(self):
		if self.popen.poll() is None:
			self.popen.terminate()
			try:
				self.popen.wait(STOP_LIMIT_S)
			except subprocess.TimeoutExpired:
				print(f"{self.name} did not end within {STOP_LIMIT_S} s, killed", file=sys.stderr)
		# The rest of its session, if the first process ended without it.
		with contextlib.suppress(ProcessLookupError):
			os.killpg(self.popen.pid, signal.SIGKILL)
		self.popen.wait()


def free_port():
	with socket.socket() as s:
		s.bind(("127.0.0.1", 0))
		return s.getsockname()[1]


# ---- origin and peers -----------------------------------------------------------------


NGINX_COMMON = """daemon off;
worker_processes 1;
pid {dir}/{name}.pid;
error_log stderr;
events {{ worker_connections {connections}; }}
http {{
	access_log off;
	client_body_temp_path {dir}/{name}-body;
	proxy_temp_path {dir}/{name}-proxy;
	fastcgi_temp_path {dir}/{name}-fastcgi;
	uwsgi_temp_path {dir}/{name}-uwsgi;
	scgi_temp_path {dir}/{name}-scgi;
	default_type application/octet-stream;
	sendfile on;
	tcp_nodelay on;
	keepalive_timeout 1h;
	keepalive_requests 1000000000;
	client_max_body_size 0;
	{http}
}}
"""

# `return` would answer a POST before its body has come, which some proxies take for
# an early answer and close upon. Behind proxy_pass the body is read whole first.
ORIGIN_HTTP = """open_file_cache max=16;
	open_file_cache_valid 1h;
	upstream sink {{
		server unix:{dir}/sink.sock;
		keepalive 256;
		keepalive_requests 1000000000;
		keepalive_time 24h;
	}}
	server {{
		listen unix:{dir}/sink.sock;
		location / {{ return 200 "ok\\n"; }}
	}}
	server {{
		listen 127.0.0.1:{port} backlog=4096;
		root {dir}/www;
		client_body_buffer_size 2m;
		location = /counts {{ stub_status; }}
		location = /post {{
			proxy_pass http://sink;
			proxy_method GET;
			proxy_http_version 1.1;
			proxy_pass_request_body off;
			proxy_set_header Connection "";
			proxy_set_header Content-Length "";
			add_header X-Request-Length $request_length;
		}}
	}}"""

# Streams both ways as the other peers do: by default nginx would hold a POST back
# until it is whole and put what a slow reader has not taken into a file.
PROXY_HTTP = """proxy_buffer_size 16k;
	proxy_buffers 16 16k;
	proxy_busy_buffers_size 64k;
	proxy_max_temp_file_size 0;
	proxy_request_buffering off;
	client_body_buffer_size 64k;
	upstream origin {{
		server 127.0.0.1:{origin_port};
		keepalive 256;
		keepalive_requests 1000000000;
		keepalive_time 24h;
	}}
	server {{
		listen 127.0.0.1:{port} backlog=4096{listen_tls};
		location / {{
			proxy_pass http://origin;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}}
	}}"""

# Without strict limits: it asks for two descriptors per client, and idle ones need one.
HAPROXY_CONFIG = """global
	no strict-limits
	nbthread 1
	maxconn {connections}
	tune.bufsize 32768
defaults
	mode http
	timeout connect 5s
	timeout client 1h
	timeout server 1h
	option http-keep-alive
	http-reuse always
frontend clients
	bind 127.0.0.1:{port} backlog 4096{listen_tls}
	default_backend origin
backend origin
	server origin 127.0.0.1:{origin_port} pool-max-conn -1 pool-purge-delay 1h
"""

RINGWAY_CONFIG = """instance: bench-{pid}
gateway: {{max_connections: {connections}}}
listeners: [{{name: bench, address: "127.0.0.1:{port}"{listen_tls}}}]
runtime: {{shards: 1, cpus: "{cpu}", pin: true}}
services:
  origin:
    url: "http://127.0.0.1:{origin_port}"
    routes: [{{path: "/*"{limits}}}]
admin: {{socket: {dir}/admin.sock}}
monitoring: {{logging: {{access: off}}}}
{limit}"""

# One that admits everything.
RINGWAY_LIMIT = """limits:
  bench: {{key: ip, requests_per_second: 1000000, burst: 1000000, headers: {headers}}}
"""

# What a listener of each needs for TLS; what is not here is as by default, tickets and
# the choice of group and suite with it. nginx 1.22 leaves 1.3 out unless it is named.
LISTEN_TLS = {
	"nginx": """ ssl;
		ssl_protocols TLSv1.2 TLSv1.3;
		ssl_certificate {dir}/cert.pem;
		ssl_certificate_key {dir}/key.pem""",
	"haproxy": " ssl crt {dir}/cert-and-key.pem",
	"ringway": ", tls: {{certificates: [{{cert: {dir}/cert.pem, key: {dir}/key.pem}}]}}",
}

CERTIFICATE_REQUEST = """[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = localhost
[extensions]
subjectAltName = DNS:localhost
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
"""

# wrk has no option for any of it; OpenSSL takes it from here for whoever asks for less.
# handshakes.c offers the same.
LOAD_TLS = """openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = load
[load]
MinProtocol = TLSv1.3
MaxProtocol = TLSv1.3
Groups = X25519
Ciphersuites = TLS_AES_128_GCM_SHA256
"""
# By the numbers of RFC 8446 sections 4.2.1, 4.2.7 and B.4.
OFFERED_VERSION, OFFERED_GROUP, OFFERED_SUITE = 0x0304, 0x001d, 0x1301


class Bench:
	def __init__(self, options, directory):
		self.options = options
		self.dir = directory
		self.bodies = {}
		www = directory / "www"
		www.mkdir()
		for row in ROWS:
			body = self.bodies.setdefault(row.body_bytes, os.urandom(row.body_bytes))
			name = row.name if row.posts else row.path[1:]
			(www / name).write_bytes(body)

	def make_certificate(self):
		"""An ECDSA P-256 one of its own, for localhost."""
		request = self.dir / "certificate.cnf"
		request.write_text(CERTIFICATE_REQUEST)
		cert, key = self.dir / "cert.pem", self.dir / "key.pem"
		done = subprocess.run([self.options.openssl, "req", "-x509", "-config", request,
		                       "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
		                       "-nodes", "-days", "30", "-keyout", key, "-out", cert],
		                      capture_output=True, text=True)
		if done.returncode:
			raise Broken(f"openssl made no certificate: {done.stderr}")
		both = self.dir / "cert-and-key.pem"
		both.touch(mode=0o600)
		both.write_text(cert.read_text() + key.read_text())
		(self.dir / "load-tls.cnf").write_text(LOAD_TLS)

	def trust(self):
		"""For clients: nothing but that certificate, and TLS 1.3."""
		context = ssl.create_default_context(cafile=self.dir / "cert.pem")
		context.minimum_version = ssl.TLSVersion.TLSv1_3
		return context

	def start_nginx(self, name, cpu, http, connections):
		config = self.dir / f"{name}.conf"
		config.write_text(NGINX_COMMON.format(dir=self.dir, name=name, http=http,
		                                      connections=connections))
		# -e: the log that is built in may not be writable, or someone's real one.
		return Process(name, [self.options.nginx, "-e", "stderr", "-p", self.dir, "-c", config],
		               cpu, self.dir / f"{name}.log")

	def start_origin(self):
		port = free_port()
		# What a killed origin left would keep the next one from binding.
		(self.dir / "sink.sock").unlink(missing_ok=True)
		return self.start_nginx("origin", LOAD_CPU,
		                        ORIGIN_HTTP.format(dir=self.dir, port=port),
		                        connections=8192), port

	def start_peer(self, name, origin_port, clients=1000, tls=False):
		"""One that takes this many client connections."""
		port = free_port()
		listen_tls = LISTEN_TLS[name].format(dir=self.dir) if tls else ""
		log = self.dir / f"{name}.log"
		if name == "nginx":
			http = PROXY_HTTP.format(port=port, origin_port=origin_port,
			                         listen_tls=listen_tls)
			# Its limit counts both sides.
			return self.start_nginx(name, PROXY_CPU, http, connections=2 * clients + 64), port
		if name == "relay":
			argv = [self.options.relay, "--listen", f"127.0.0.1:{port}",
			        "--to", f"127.0.0.1:{origin_port}"]
		elif name == "haproxy":
			config = self.dir / "haproxy.cfg"
			config.write_text(HAPROXY_CONFIG.format(port=port, origin_port=origin_port,
			                                        connections=clients,
			                                        listen_tls=listen_tls))
			argv = [self.options.haproxy, "-db", "-f", config]
		else:
			config = self.dir / "ringway.yaml"
			headers = self.options.limit
			limit = RINGWAY_LIMIT.format(headers=headers) if headers else ""
			config.write_text(RINGWAY_CONFIG.format(pid=os.getpid(), dir=self.dir, port=port,
			                                        cpu=PROXY_CPU, origin_port=origin_port,
			                                        connections=clients,
			                                        listen_tls=listen_tls,
			                                        limits=", limits: [bench]" if limit else "",
			                                        limit=limit))
			argv = [self.options.ringway, "run", config]
		return Process(name, argv, PROXY_CPU, log), port

	# ---- one cell -----------------------------------------------------------------

	def check_answers(self, row, port):
		"""Three requests, on one connection unless the row closes it each time."""
		body = self.bodies[row.body_bytes]
		if row.tls:
			client = http.client.HTTPSConnection("localhost", port, timeout=10,
			                                     context=self.trust())
		else:
			client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
		with contextlib.closing(client):
			for _ in range(3):
				fields = {"Connection": "close"} if row.closes else {}
				try:
					client.request("POST" if row.posts else "GET", row.path,
					               body=body if row.posts else None, headers=fields)
					answer = client.getresponse()
					got = answer.read()
				except (OSError, http.client.HTTPException) as e:
					raise Invalid(f"no answer: {e!r}") from e
				if answer.status != 200:
					raise Invalid(f"answers {answer.status}: {got[:200]!r}")
				if row.posts:
					seen = int(answer.headers["X-Request-Length"] or 0) - row.body_bytes
					# What is more than the body is the head.
					if got != b"ok\n" or not 0 < seen < 4096:
						raise Invalid(f"the origin saw {seen} bytes around the body")
				elif got != body:
					raise Invalid(f"another body came, of {len(got)} bytes")

	def load_argv(self, row, port, seconds):
		if row.handshakes:
			return [self.options.handshakes, "--connect", f"127.0.0.1:{port}",
			        "--ca", self.dir / "cert.pem", "--kind", row.handshakes,
			        "--path", row.path, "--body", row.body_bytes,
			        "--connections", self.options.connections, "--seconds", seconds]
		# Not by address, which would go out as the name of the server.
		url = f"https://localhost:{port}" if row.tls else f"http://127.0.0.1:{port}"
		return [self.options.wrk, "-t1", f"-c{self.options.connections}", f"-d{seconds}s",
		        "--timeout", "10s", "-s", BENCH / "load.lua", url + row.path,
		        "--", self.dir / "www" / row.name if row.posts else "",
		        "close" if row.closes else ""]

	def load_env(self, row):
		return {**os.environ, "OPENSSL_CONF": str(self.dir / "load-tls.cnf")} if row.tls else None

	def check_wrk_offers(self, row):
		"""That this wrk offers what LOAD_TLS says, and nothing else beside it."""
		with socket.create_server(("127.0.0.1", 0)) as server:
			server.settimeout(START_LIMIT_S)
			argv = self.load_argv(row, server.getsockname()[1], 1)
			wrk = subprocess.Popen(list(map(str, argv)), env=self.load_env(row),
			                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
			                       stderr=subprocess.DEVNULL)
			try:
				# The first one is wrk's look whether anyone is there.
				hello = b""
				while not hello:
					peer, _ = server.accept()
					with peer:
						peer.settimeout(START_LIMIT_S)
						hello = peer.recv(16384)
				offered = hello_offers(hello)
			except (OSError, IndexError, ValueError) as e:
				raise Broken(f"wrk sent no ClientHello: {e!r}") from e
			finally:
				wrk.kill()
				wrk.wait()
		if offered != ([OFFERED_VERSION], [OFFERED_GROUP], [OFFERED_SUITE]):
			raise Broken(f"wrk offers other versions, groups or suites than asked: {offered}")

	def run_load(self, row, port, seconds):
		argv = ["taskset", "-c", str(LOAD_CPU), *self.load_argv(row, port, seconds)]
		counted = self.options.counters
		counts_file = self.dir / "counters"
		if counted:
			argv = ["perf", "stat", "-C", str(PROXY_CPU), "-x", ";", "-o", counts_file,
			        "-e", ",".join(COUNTERS), "--", *argv]
		load = subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, text=True,
		                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
		                        start_new_session=True, env=self.load_env(row))
		try:
			said, _ = load.communicate(timeout=seconds + 60)
		finally:
			# perf would leave the wrk that it started running.
			if load.poll() is None:
				os.killpg(load.pid, signal.SIGKILL)
				load.wait()
		counts = re.search(r"^(?:COUNTS )?(\{.*\})$", said, re.M)
		# Errors of the peer are among what is counted.
		if not counts or (load.returncode and not row.handshakes):
			raise Broken(f"the load failed: {said}")
		return json.loads(counts[1]), read_counters(counts_file) if counted else {}

	def measure(self, row, peer):
		with contextlib.ExitStack() as cleanup:
			origin, origin_port = self.start_origin()
			cleanup.callback(origin.stop)
			try:
				origin.wait_for_port(origin_port)
			except Invalid as e:
				raise Broken(f"no origin, no bench: {e}") from e
			process, port = self.start_peer(peer, origin_port, tls=row.tls)
			cleanup.callback(process.stop)
			process.wait_for_port(port)
			self.check_answers(row, port)
			self.run_load(row, port, self.options.warmup)
			process.check_confined(PROXY_CPU)

			accepts = origin_accepts(origin_port)
			own, core, start = process.cpu_s(), CoreTime.read(PROXY_CPU), time.monotonic()
			counts, counters = self.run_load(row, port, self.options.duration)
			wall = time.monotonic() - start
			core = CoreTime.read(PROXY_CPU) - core
			if process.popen.poll() is not None:
				raise Invalid(f"{peer} ended: {process.last_words()}")
			own = process.cpu_s() - own
			accepts = origin_accepts(origin_port) - accepts
			return sample(row, peer, counts, counters, accepts, own, core, wall)


def sample(row, peer, counts, counters, accepts, own_s, core, wall_s):
	n = counts["requests"]
	errors = {k: counts[k] for k in ("connect", "read", "write", "status", "timeout", "errors")
	          if counts.get(k)}
	if counts.get("first_error"):
		raise Invalid(f"{counts['errors']} errors, the first: {counts['first_error']}")
	if errors:
		raise Invalid("errors: " + ", ".join(f"{v} {k}" for k, v in errors.items()))
	if not n:
		raise Invalid("not one request was answered")
	if not row.posts and counts["bytes"] < n * row.body_bytes:
		raise Invalid(f"{counts['bytes']} bytes are too few for {n} bodies")
	if row.handshakes:
		shakes = {kind: counts[kind] for kind in ("full", "resumed")}
		if shakes != {"full": 0, "resumed": 0, row.handshakes: n}:
			raise Invalid(f"{shakes['full']} full and {shakes['resumed']} resumed handshakes "
			              f"for {n} requests that want {row.handshakes} ones")
	# The relay has an upstream connection per client connection, whatever the row.
	if not (peer == "relay" and row.closes) and accepts > 64 + n * KEPT_ALIVE_SHARE:
		raise Invalid(f"{accepts} connections to the origin for {n} requests: no keep-alive")
	busy_s = max(wall_s - core.not_ours_s, 0)
	result = {
		"requests": n,
		"requests_per_second": n / (counts["duration_us"] / 1e6),
		"own_us_per_request": own_s / n * 1e6,
		"core_us_per_request": busy_s / n * 1e6,
		"core_busy_percent": busy_s / wall_s * 100,
		"core_others_percent": max(busy_s - own_s, 0) / busy_s * 100 if busy_s else 0,
		"steal_percent": core.steal_s / wall_s * 100,
		**{f"{c}_per_request": v / n for c, v in counters.items()},
	}
	if row.per_byte:
		result["own_ns_per_byte"] = own_s / n / row.body_bytes * 1e9
		if counters:
			result["cycles_per_byte"] = counters["cycles"] / n / row.body_bytes
	if row.handshakes:
		result["handshakes"] = shakes
	return result

def hello_offers(record):
	"""(versions, groups, suites) that the ClientHello in one TLS record offers."""
	if record[0] != 22 or record[5] != 1:
		raise ValueError(f"no ClientHello: {record[:8].hex()}")

	def numbers(data):
		return [int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2)]

	# RFC 8446 section 4.1.2: behind the headers, a version and 32 random bytes.
	at = 5 + 4 + 2 + 32
	at += 1 + record[at]
	suites_len = int.from_bytes(record[at:at + 2], "big")
	# 0x00ff names no suite: RFC 5746 section 3.3.
	suites = [n for n in numbers(record[at + 2:at + 2 + suites_len]) if n != 0x00ff]
	at += 2 + suites_len
	at += 1 + record[at]
	extensions, at = {}, at + 2
	while at < len(record):
		kind, length = numbers(record[at:at + 4])
		extensions[kind] = record[at + 4:at + 4 + length]
		at += 4 + length
	return numbers(extensions[43][1:]), numbers(extensions[10][2:]), suites


@dataclass
class CoreTime:
	"""Time of one CPU since boot that nobody on this machine used.

	Idle time comes from the clock when a tickless CPU goes to sleep, the other fields
	may be sampled; so what was used is wall time minus this, never their sum."""
	idle_s: float
	steal_s: float

	@classmethod
	def read(cls, cpu):
		for line in Path("/proc/stat").read_text().splitlines():
			fields = line.split()
			if fields[0] == f"cpu{cpu}":
				# Waiting for a ring counts as waiting for a disk.
				idle, iowait, steal = (int(fields[i]) / CLOCK_TICK for i in (4, 5, 8))
				return cls(idle + iowait, steal)
		raise Broken(f"/proc/stat has no cpu{cpu}")

	def __sub__(self, before):
		return CoreTime(self.idle_s - before.idle_s, self.steal_s - before.steal_s)

	@property
	def not_ours_s(self):
		return self.idle_s + self.steal_s


def origin_accepts(port):
	client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
	with contextlib.closing(client):
		client.request("GET", "/counts")
		return int(client.getresponse().read().split()[7])


# ---- counters -------------------------------------------------------------------------


def read_counters(path):
	counters = {}
	for line in Path(path).read_text().splitlines():
		fields = line.split(";")
		if len(fields) > 4 and fields[2].split(":")[0] in COUNTERS:
			# A share of the time below 100 % means a scaled guess, not a count.
			if not fields[0].isdigit() or float(fields[4]) < 99.9:
				raise Broken(f"{fields[2]} was not counted all the time: {line}")
			counters[fields[2].split(":")[0]] = int(fields[0])
	if set(counters) != set(COUNTERS):
		raise Broken(f"perf counted only {sorted(counters)}")
	return counters


def why_no_counters():
	"""None when perf can count, else why not."""
	if not shutil.which("perf"):
		return "perf is not installed"
	done = subprocess.run(["perf", "stat", "-C", str(PROXY_CPU), "-x", ";", "-e",
	                       ",".join(COUNTERS), "--", "true"], capture_output=True, text=True)
	if "<not supported>" in done.stderr:
		return "this machine has no hardware counters (a VM without a virtual PMU?)"
	if done.returncode or "<not counted>" in done.stderr:
		return "perf may not count a whole CPU here (needs root or perf_event_paranoid <= 0)"
	return None


# ---- report ---------------------------------------------------------------------------


def median(samples, key):
	return statistics.median(s[key] for s in samples)


def spread_percent(samples, key):
	values = [s[key] for s in samples]
	return (max(values) - min(values)) / statistics.median(values) * 100


def summarise(cells, counted):
	"""Adds to each valid cell its medians, its spread and its ratios."""
	# What the peer's threads used, softirq under their sends included, bears foreign work
	# on the core better than the time of the whole core does.
	cost = "instructions_per_request" if counted else "own_us_per_request"
	for cell in cells.values():
		samples = cell["samples"]
		cell["valid"] = not cell["invalid"] and bool(samples)
		if not cell["valid"]:
			continue
		keys = [k for k in samples[0] if k not in ("requests", "handshakes")]
		cell["median"] = {k: median(samples, k) for k in keys}
		cell["spread_percent"] = {k: spread_percent(samples, k)
		                          for k in ("requests_per_second", cost)}
		cell["disturbed"] = cell["median"]["core_others_percent"] > DISTURBED_SHARE * 100
	for (row, _), cell in cells.items():
		for other in BASES:
			base = cells.get((row, other))
			if cell["valid"] and base and base["valid"]:
				cell[f"times_{other}"] = cell["median"][cost] / base["median"][cost]
	return cost


def print_table(rows, peers, cells, cost, counted):
	head = f"{'':10}{'req/s':>9}{'+-%':>6}"
	if counted:
		head += f"{'k instr':>9}{'+-%':>6}{'k cycles':>10}"
	head += f"{'own us':>9}"
	head += "" if counted else f"{'+-%':>6}"
	head += f"{'core us':>9}"
	head += f"{'busy %':>8}" + "".join(f"{'x ' + base:>10}" for base in BASES)
	for row in rows:
		print(f"\n{row.name}: {row.what}\n{head}", end="")
		if row.per_byte:
			print(f"{'ns/B':>8}" + (f"{'cycles/B':>10}" if counted else ""), end="")
		print()
		for peer in peers:
			cell = cells.get((row.name, peer))
			if not cell:
				continue
			if not cell["valid"]:
				print(f"{peer:10}INVALID: {'; '.join(dict.fromkeys(cell['invalid']))}")
				continue
			m, spread = cell["median"], cell["spread_percent"]
			line = f"{peer:10}{m['requests_per_second']:9.0f}{spread['requests_per_second']:6.1f}"
			if counted:
				line += (f"{m['instructions_per_request'] / 1e3:9.1f}{spread[cost]:6.1f}"
				         f"{m['cycles_per_request'] / 1e3:10.1f}")
			line += f"{m['own_us_per_request']:9.1f}"
			line += "" if counted else f"{spread[cost]:6.1f}"
			line += f"{m['core_us_per_request']:9.1f}"
			line += f"{m['core_busy_percent']:8.0f}"
			for other in BASES:
				times = cell.get(f"times_{other}")
				line += f"{times:10.2f}" if times else f"{'-':>10}"
			if row.per_byte:
				line += f"{m['own_ns_per_byte']:8.3f}"
				line += f"{m['cycles_per_byte']:10.2f}" if counted else ""
			if cell["disturbed"]:
				line += f"  ! others used {m['core_others_percent']:.0f} % of the core"
			print(line)
		if (row.name, "relay") in cells and row.closes:
			print("          (the relay opens an upstream connection per client: no floor here)")


def version_of(argv):
	done = subprocess.run(argv, capture_output=True, text=True)
	return (done.stdout + done.stderr).strip().splitlines()[0]


def write_json(path, options, rows, peers, cells, why_not):
	versions = {}
	for peer in peers:
		if peer != "relay":
			argv = [str(getattr(options, peer)), "version" if peer == "ringway" else "-v"]
			with contextlib.suppress(OSError, IndexError):
				versions[peer] = version_of(argv)
	report = {
		"schema": "ringway-bench-compare/1",
		"host": {"kernel": platform.release(), "cpus": os.cpu_count(), "cpu": cpu_model()},
		"versions": versions,
		"settings": {k: getattr(options, k)
		             for k in ("duration", "warmup", "repeats", "connections")},
		"counters": why_not or "hardware",
		"rows": {row.name: {
			"what": row.what,
			"relay_is_floor": not row.closes,
			"peers": {peer: cells[row.name, peer] for peer in peers if (row.name, peer) in cells},
		} for row in rows},
	}
	Path(path).write_text(json.dumps(report, indent=1) + "\n")


def cpu_model():
	found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
	return found[1] if found else "unknown"


# ---- command line ---------------------------------------------------------------------


def choice_list(choices):
	def parse(text):
		names = text.split(",")
		unknown = [n for n in names if n not in choices]
		if unknown:
			raise argparse.ArgumentTypeError(
				f"unknown: {', '.join(unknown)} (there are {', '.join(choices)})")
		return names
	return parse


def positive(text):
	value = int(text)
	if value < 1:
		raise argparse.ArgumentTypeError("must be at least 1")
	return value


def parse_options():
	root = BENCH.parent
	p = argparse.ArgumentParser(
		prog="compare.sh", description="Cost per request of each peer, alone on CPU 0, "
		"with load and origin on CPU 1.",
		epilog="rows: " + "; ".join(f"{r.name} = {r.what}" for r in ROWS) +
		". Exit codes: 0 good, 1 a cell is INVALID or the bench failed, 2 usage.")
	p.add_argument("--only", metavar="ROWS", type=choice_list([r.name for r in ROWS]),
	               help="these rows, comma-separated (default: all)")
	p.add_argument("--peers", metavar="LIST", type=choice_list(PEERS), default=PEERS,
	               help="these peers, comma-separated (default: %s)" % ",".join(PEERS))
	p.add_argument("--duration", metavar="S", type=positive, default=5,
	               help="seconds that a cell is measured (default: %(default)s)")
	p.add_argument("--warmup", metavar="S", type=positive, default=1,
	               help="seconds of load before that (default: %(default)s)")
	p.add_argument("--repeats", metavar="N", type=positive, default=3,
	               help="times each cell is measured, order alternating (default: %(default)s)")
	p.add_argument("--connections", metavar="N", type=positive, default=64,
	               help="client connections (default: %(default)s)")
	p.add_argument("--limit", metavar="HEADERS", choices=["off", "ietf", "x-ratelimit", "both"],
	               help="Ringway's route has one limit with `headers: HEADERS`")
	p.add_argument("--json", metavar="FILE", help="write every sample there as well")
	p.add_argument("--ringway", metavar="PATH", default=root / "build/ringway")
	p.add_argument("--relay", metavar="PATH", default=root / "build/bench/relay")
	p.add_argument("--handshakes", metavar="PATH", default=root / "build/bench/handshakes")
	# sbin is not on everyone's PATH.
	path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin"
	for tool in ("nginx", "haproxy", "wrk", "openssl"):
		p.add_argument(f"--{tool}", metavar="PATH",
		               default=shutil.which(tool, path=path) or tool)
	return p.parse_args()


def check_machine(options, rows):
	allowed = os.sched_getaffinity(0)
	if not {PROXY_CPU, LOAD_CPU} <= allowed:
		raise Broken(f"needs CPUs {PROXY_CPU} and {LOAD_CPU}, may use {sorted(allowed)}")
	# Debian's nginx is the origin, so it is needed whoever the peers are.
	tools = {"nginx", "wrk", *options.peers}
	if any(row.tls for row in rows):
		tools.add("openssl")
	if any(row.handshakes for row in rows):
		tools.add("handshakes")
	for tool in tools:
		if not shutil.which(str(getattr(options, tool))):
			raise Broken(f"{tool} is not there: {getattr(options, tool)}")


def run(options):
	rows = [r for r in ROWS if not options.only or r.name in options.only]
	check_machine(options, rows)
	pairs = measured(rows, options.peers)
	if not pairs:
		raise Broken("nothing to measure: the relay speaks no TLS")
	why_not = why_no_counters()
	options.counters = why_not is None
	if why_not:
		print(f"No instructions and cycles: {why_not}. Ratios are of the peer's own CPU time\n"
		      "instead, which swings with the neighbours; trust only what repeats.")
	cells = {(row.name, peer): {"invalid": [], "samples": []} for row, peer in pairs}
	with tempfile.TemporaryDirectory(prefix="ringway-bench-") as directory:
		# Workers of nginx that drop root have to get in.
		os.chmod(directory, 0o755)
		bench = Bench(options, Path(directory))
		if any(row.tls for row in rows):
			bench.make_certificate()
		for row in rows:
			if row.tls and not row.handshakes:
				bench.check_wrk_offers(row)
			peers = [peer for other, peer in pairs if other is row]
			for repeat in range(options.repeats):
				for peer in peers[::-1] if repeat % 2 else peers:
					print(f"{row.name} {repeat + 1}/{options.repeats} {peer}", file=sys.stderr)
					try:
						cells[row.name, peer]["samples"].append(bench.measure(row, peer))
					except Invalid as e:
						cells[row.name, peer]["invalid"].append(str(e))
	cost = summarise(cells, options.counters)
	print_table(rows, options.peers, cells, cost, options.counters)
	if options.json:
		write_json(options.json, options, rows, options.peers, cells, why_not)
	return 0 if all(c["valid"] for c in cells.values()) else 1


def main():
	options = parse_options()
	# Both take the same way out, through every stop(). A script in the background starts
	# with Ctrl-C ignored, hence not left to the default.
	signal.signal(signal.SIGINT, signal.default_int_handler)
	signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
	try:
		return run(options)
	except Broken as e:
		print(f"compare.sh: {e}", file=sys.stderr)
		return 1
	except KeyboardInterrupt:
		return 130


if __name__ == "__main__":
	sys.exit(main())

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


ROWS = [
	Row("64", "GET 64 B, keep-alive", "/64", 64),
	Row("16k", "GET 16 KiB, keep-alive", "/16k", 16 << 10),
	Row("1m", "GET 1 MiB, keep-alive", "/1m", 1 << 20),
	Row("new", "GET 64 B, new connection per request", "/64", 64, closes=True),
	Row("post-16k", "POST 16 KiB, keep-alive", "/post", 16 << 10, posts=True),
	Row("post-1m", "POST 1 MiB, keep-alive", "/post", 1 << 20, posts=True),
]
PEERS = ["relay", "nginx", "haproxy", "ringway"]


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
		listen 127.0.0.1:{port} backlog=4096;
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
	bind 127.0.0.1:{port} backlog 4096
	default_backend origin
backend origin
	server origin 127.0.0.1:{origin_port} pool-max-conn -1 pool-purge-delay 1h
"""

RINGWAY_CONFIG = """instance: bench-{pid}
gateway: {{host: "127.0.0.1", port: {port}, max_connections: {connections}}}
runtime: {{shards: 1, cpus: "{cpu}", pin: true}}
services:
  origin:
    url: "http://127.0.0.1:{origin_port}"
    routes: [{{path: "/*"}}]
admin: {{socket: {dir}/admin.sock}}
monitoring: {{logging: {{access: off}}}}
"""


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

	def start_peer(self, name, origin_port, clients=1000):
		"""One that takes this many client connections."""
		port = free_port()
		log = self.dir / f"{name}.log"
		if name == "nginx":
			http = PROXY_HTTP.format(port=port, origin_port=origin_port)
			# Its limit counts both sides.
			return self.start_nginx(name, PROXY_CPU, http, connections=2 * clients + 64), port
		if name == "relay":
			argv = [self.options.relay, "--listen", f"127.0.0.1:{port}",
			        "--to", f"127.0.0.1:{origin_port}"]
		elif name == "haproxy":
			config = self.dir / "haproxy.cfg"
			config.write_text(HAPROXY_CONFIG.format(port=port, origin_port=origin_port,
			                                        connections=clients))
			argv = [self.options.haproxy, "-db", "-f", config]
		else:
			config = self.dir / "ringway.yaml"
			config.write_text(RINGWAY_CONFIG.format(pid=os.getpid(), dir=self.dir, port=port,
			                                        cpu=PROXY_CPU, origin_port=origin_port,
			                                        connections=clients))
			argv = [self.options.ringway, "run", config]
		return Process(name, argv, PROXY_CPU, log), port

	# ---- one cell -----------------------------------------------------------------

	def check_answers(self, row, port):
		"""Three requests, on one connection unless the row closes it each time."""
		body = self.bodies[row.body_bytes]
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

	def run_load(self, row, port, seconds):
		argv = ["taskset", "-c", str(LOAD_CPU), self.options.wrk, "-t1",
		        f"-c{self.options.connections}", f"-d{seconds}s", "--timeout", "10s",
		        "-s", BENCH / "load.lua", f"http://127.0.0.1:{port}{row.path}",
		        "--", self.dir / "www" / row.name if row.posts else "",
		        "close" if row.closes else ""]
		counted = self.options.counters
		counts_file = self.dir / "counters"
		if counted:
			argv = ["perf", "stat", "-C", str(PROXY_CPU), "-x", ";", "-o", counts_file,
			        "-e", ",".join(COUNTERS), "--", *argv]
		load = subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, text=True,
		                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
		                        start_new_session=True)
		try:
			said, _ = load.communicate(timeout=seconds + 60)
		finally:
			# perf would leave the wrk that it started running.
			if load.poll() is None:
				os.killpg(load.pid, signal.SIGKILL)
				load.wait()
		counts = re.search(r"^COUNTS (.*)$", said, re.M)
		if load.returncode or not counts:
			raise Broken(f"wrk failed: {said}")
		return json.loads(counts[1]), read_counters(counts_file) if counted else {}

	def measure(self, row, peer):
		with contextlib.ExitStack() as cleanup:
			origin, origin_port = self.start_origin()
			cleanup.callback(origin.stop)
			try:
				origin.wait_for_port(origin_port)
			except Invalid as e:
				raise Broken(f"no origin, no bench: {e}") from e
			process, port = self.start_peer(peer, origin_port)
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
	errors = {k: counts[k] for k in ("connect", "read", "write", "status", "timeout") if counts[k]}
	if errors:
		raise Invalid("errors: " + ", ".join(f"{v} {k}" for k, v in errors.items()))
	if not n:
		raise Invalid("not one request was answered")
	if not row.posts and counts["bytes"] < n * row.body_bytes:
		raise Invalid(f"{counts['bytes']} bytes are too few for {n} bodies")
	# The relay has an upstream connection per client connection, whatever the row.
	if not (peer == "relay" and row.closes) and accepts > 64 + n * KEPT_ALIVE_SHARE:
		raise Invalid(f"{accepts} connections to the origin for {n} requests: no keep-alive")
	busy_s = max(wall_s - core.not_ours_s, 0)
	return {
		"requests": n,
		"requests_per_second": n / (counts["duration_us"] / 1e6),
		"own_us_per_request": own_s / n * 1e6,
		"core_us_per_request": busy_s / n * 1e6,
		"core_busy_percent": busy_s / wall_s * 100,
		"core_others_percent": max(busy_s - own_s, 0) / busy_s * 100 if busy_s else 0,
		"steal_percent": core.steal_s / wall_s * 100,
		**{f"{c}_per_request": v / n for c, v in counters.items()},
	}


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
		keys = [k for k in samples[0] if k != "requests"]
		cell["median"] = {k: median(samples, k) for k in keys}
		cell["spread_percent"] = {k: spread_percent(samples, k)
		                          for k in ("requests_per_second", cost)}
		cell["disturbed"] = cell["median"]["core_others_percent"] > DISTURBED_SHARE * 100
	for (row, _), cell in cells.items():
		for other in ("relay", "nginx"):
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
	head += f"{'busy %':>8}{'x relay':>9}{'x nginx':>9}"
	for row in rows:
		print(f"\n{row.name}: {row.what}\n{head}")
		for peer in peers:
			cell = cells[row.name, peer]
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
			for other in ("relay", "nginx"):
				times = cell.get(f"times_{other}")
				line += f"{times:9.2f}" if times else f"{'-':>9}"
			if cell["disturbed"]:
				line += f"  ! others used {m['core_others_percent']:.0f} % of the core"
			print(line)
		if row.closes and "relay" in peers:
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
			"peers": {peer: cells[row.name, peer] for peer in peers},
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
	p.add_argument("--json", metavar="FILE", help="write every sample there as well")
	p.add_argument("--ringway", metavar="PATH", default=root / "build/ringway")
	p.add_argument("--relay", metavar="PATH", default=root / "build/bench/relay")
	# sbin is not on everyone's PATH.
	path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin"
	for tool in ("nginx", "haproxy", "wrk"):
		p.add_argument(f"--{tool}", metavar="PATH",
		               default=shutil.which(tool, path=path) or tool)
	return p.parse_args()


def check_machine(options):
	allowed = os.sched_getaffinity(0)
	if not {PROXY_CPU, LOAD_CPU} <= allowed:
		raise Broken(f"needs CPUs {PROXY_CPU} and {LOAD_CPU}, may use {sorted(allowed)}")
	# Debian's nginx is the origin, so it is needed whoever the peers are.
	for tool in {"nginx", "wrk", *options.peers}:
		if not shutil.which(str(getattr(options, tool))):
			raise Broken(f"{tool} is not there: {getattr(options, tool)}")


def run(options):
	check_machine(options)
	rows = [r for r in ROWS if not options.only or r.name in options.only]
	why_not = why_no_counters()
	options.counters = why_not is None
	if why_not:
		print(f"No instructions and cycles: {why_not}. Ratios are of the peer's own CPU time\n"
		      "instead, which swings with the neighbours; trust only what repeats.")
	cells = {(r.name, p): {"invalid": [], "samples": []} for r in rows for p in options.peers}
	with tempfile.TemporaryDirectory(prefix="ringway-bench-") as directory:
		# Workers of nginx that drop root have to get in.
		os.chmod(directory, 0o755)
		bench = Bench(options, Path(directory))
		for row in rows:
			for repeat in range(options.repeats):
				for peer in options.peers[::-1] if repeat % 2 else options.peers:
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

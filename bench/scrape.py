"""What a scrape of /metrics costs the requests that run meanwhile.

One shard on CPU 0 under a load of a fixed rate; control, the load and who scrapes are on
CPU 1. Windows with scrapes (more than 5,000 series, ten times a second, OpenMetrics) and
windows without take turns; compared is what a request costs the shard: instructions of the
whole CPU 0 where perf can count them, else the CPU time of the shard's thread.

The rate is fixed, since a shard that has less to do wakes more often and pays more for each
request: a load that slows down while CPU 1 scrapes would look like a cost of the shard.
"""
import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARD_CPU, OTHER_CPU = 0, 1
ROUTES = 250
CONNECTIONS = 64
LIMIT_PERCENT = 1.0

CONFIG = """
instance: bench-scrape-{pid}
gateway: {{host: 127.0.0.1, port: {port}}}
runtime: {{shards: 1, cpus: "{cpu}", metrics_memory: private}}
admin: {{socket: {folder}/admin.sock}}
monitoring: {{metrics_port: {metrics_port}, logging: {{access: off}}}}
services:
  all:
    respond: {{body: "{body}"}}
    routes: [{routes}]
"""
# Each connection waits between two requests, so that all together make the rate.
PACE = "function delay() return {ms} end\n"


class Broken(Exception):
	pass


def free_port():
	with socket.socket() as s:
		s.bind(("127.0.0.1", 0))
		return s.getsockname()[1]


def ask(sock, path, accept="*/*"):
	"""Body of a GET on a connection that stays open."""
	sock.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: {accept}\r\n\r\n".encode())
	got = b""
	while b"\r\n\r\n" not in got:
		more = sock.recv(65536)
		if not more:
			raise Broken(f"{path}: the connection ended")
		got += more
	head, body = got.split(b"\r\n\r\n", 1)
	if not head.startswith(b"HTTP/1.1 200 "):
		raise Broken(f"{path}: {head[:100]!r}")
	length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
	pieces, have = [body], len(body)
	while have < length:
		pieces.append(sock.recv(min(length - have, 1 << 20)))
		if not pieces[-1]:
			raise Broken(f"{path}: half an answer")
		have += len(pieces[-1])
	return b"".join(pieces).decode()


def connect(port):
	sock = socket.create_connection(("127.0.0.1", port), timeout=10)
	sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
	return sock


@contextlib.contextmanager
def gateway(binary, folder):
	port, metrics_port = free_port(), free_port()
	routes = ", ".join(f"{{path: /r{i}, name: route-number-{i}}}" for i in range(ROUTES))
	config = folder / "gateway.yaml"
	config.write_text(CONFIG.format(pid=os.getpid(), port=port, cpu=SHARD_CPU, folder=folder,
	                                metrics_port=metrics_port, body="x" * 64, routes=routes))
	with open(folder / "said", "wb") as said:
		child = subprocess.Popen([binary, "run", config], stdin=subprocess.DEVNULL,
		                         stdout=said, stderr=said, preexec_fn=lambda:
		                         os.sched_setaffinity(0, {SHARD_CPU, OTHER_CPU}))
	try:
		wait_for(lambda: child.poll() is None and connect(port).close() is None,
		         lambda: (folder / "said").read_text())
		# Wherever its threads would be by default: all but the shard's leave CPU 0.
		for task in Path(f"/proc/{child.pid}/task").iterdir():
			if (task / "comm").read_text().strip() != "ringway-0":
				os.sched_setaffinity(int(task.name), {OTHER_CPU})
		yield child, port, metrics_port
	finally:
		child.terminate()
		try:
			child.wait(10)
		except subprocess.TimeoutExpired:
			child.kill()
			child.wait()


def wait_for(is_there, why):
	for _ in range(200):
		with contextlib.suppress(OSError):
			if is_there():
				return
		time.sleep(0.05)
	raise Broken(f"the gateway does not start: {why()}")


def shard_task(pid):
	for task in Path(f"/proc/{pid}/task").iterdir():
		if (task / "comm").read_text().strip() == "ringway-0":
			if os.sched_getaffinity(int(task.name)) != {SHARD_CPU}:
				raise Broken(f"the shard is not on CPU {SHARD_CPU}")
			return task
	raise Broken("there is no thread ringway-0")


class Scraper(threading.Thread):
	"""Ten times a second while `on` is set; a second connection of its own for the figures."""

	def __init__(self, port, every_s):
		super().__init__(daemon=True)
		self.sock, self.every_s = connect(port), every_s
		self.on, self.end = threading.Event(), threading.Event()
		self.count, self.longest_s, self.fault = 0, 0.0, None

	def run(self):
		try:
			due = time.monotonic()
			while not self.end.is_set():
				if not self.on.wait(0.05):
					due = time.monotonic()
					continue
				began = time.monotonic()
				ask(self.sock, "/metrics", "application/openmetrics-text")
				self.longest_s = max(self.longest_s, time.monotonic() - began)
				self.count += 1
				due += self.every_s
				time.sleep(max(0.0, due - time.monotonic()))
		except (OSError, Broken) as e:
			self.fault = e


def figures(sock, task):
	"""Requests and turns so far, and CPU time of the shard in ns. Read the same way in all
	windows."""
	text = ask(sock, "/metrics")
	requests, turns = (int(re.search(rf'^ringway_shard_{name}_total\{{shard="0"\}} (\d+)$',
	                                 text, re.M)[1]) for name in ("requests", "turns"))
	return requests, turns, int((task / "schedstat").read_text().split()[0])


def can_count():
	if not shutil.which("perf"):
		return False
	done = subprocess.run(["perf", "stat", "-C", str(SHARD_CPU), "-x", ";", "-e", "instructions",
	                       "sleep", "0.1"], capture_output=True, text=True)
	return done.returncode == 0 and re.match(r"\d+;", done.stderr) is not None


def window(sock, task, seconds, count_instructions):
	"""Cost of one request: thousand instructions of the CPU, or us of the thread; turns of the
	shard per request; requests per second."""
	began, (requests, turns, ran) = time.monotonic(), figures(sock, task)
	if count_instructions:
		done = subprocess.run(["perf", "stat", "-C", str(SHARD_CPU), "-x", ";", "-e",
		                       "instructions", "sleep", str(seconds)],
		                      capture_output=True, text=True, check=True)
		instructions = int(done.stderr.split(";")[0])
	else:
		time.sleep(seconds)
	took, (requests_now, turns_now, ran_now) = time.monotonic() - began, figures(sock, task)
	requests, turns = requests_now - requests, turns_now - turns
	if count_instructions:
		cost = instructions / 1000 / (requests / took * seconds)
	else:
		cost = (ran_now - ran) / 1000 / requests
	return cost, turns / requests, requests / took


def measure(options, folder):
	instructions = can_count()
	with gateway(options.binary, folder) as (child, port, metrics_port):
		task = shard_task(child.pid)
		visitor = connect(port)
		for i in range(ROUTES):
			ask(visitor, f"/r{i}")
		visitor.close()
		reader = connect(metrics_port)
		series = sum(not line.startswith("#") for line in ask(reader, "/metrics").splitlines())
		if series < 5000:
			raise Broken(f"only {series} series")
		pace = folder / "pace.lua"
		pace.write_text(PACE.format(ms=round(CONNECTIONS * 1000 / options.rate)))
		pairs = options.pairs
		load = subprocess.Popen(
			["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{int(pairs * 2 * (options.window + 1)) + 60}s",
			 "-s", pace, f"http://127.0.0.1:{port}/r0"],
			stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
			preexec_fn=lambda: os.sched_setaffinity(0, {OTHER_CPU}))
		scraper = Scraper(metrics_port, 0.1)
		scraper.start()
		costs, turns, rates = {False: [], True: []}, {False: [], True: []}, []
		scraped_s = 0.0
		try:
			time.sleep(1)
			for i in range(pairs):
				# Whoever comes first changes, so that a drift does not count for one side.
				for on in ((False, True) if i % 2 else (True, False)):
					(scraper.on.set if on else scraper.on.clear)()
					time.sleep(0.3)
					began = time.monotonic()
					cost, per_request, rate = window(reader, task, options.window, instructions)
					scraped_s += (time.monotonic() - began + 0.3) if on else 0
					costs[on].append(cost)
					turns[on].append(per_request)
					rates.append(rate)
					if scraper.fault:
						raise Broken(f"a scrape failed: {scraper.fault}")
		finally:
			scraper.end.set()
			load.terminate()
			load.wait()
		build_s = float(re.search(r"^ringway_scrape_build_seconds (\S+)$",
		                          ask(reader, "/metrics"), re.M)[1])
	changes = [100 * (on / off - 1) for off, on in zip(costs[False], costs[True])]
	low, _, high = statistics.quantiles(changes, n=4) if pairs > 1 else changes * 3
	return {"unit": "k instructions" if instructions else "us of CPU time", "series": series,
	        "scrapes_per_s": scraper.count / scraped_s, "scrape_longest_ms": 1e3 * scraper.longest_s,
	        "build_ms": 1e3 * build_s, "requests_per_s": statistics.median(rates),
	        "off": statistics.median(costs[False]), "on": statistics.median(costs[True]),
	        "turns_off": statistics.median(turns[False]), "turns_on": statistics.median(turns[True]),
	        "change_percent": statistics.median(changes), "quartiles_percent": [low, high],
	        "load_average": os.getloadavg()[0]}


def main():
	parser = argparse.ArgumentParser(description=__doc__,
	                                 formatter_class=argparse.RawDescriptionHelpFormatter)
	parser.add_argument("--binary", default=ROOT / "build" / "ringway", type=Path)
	parser.add_argument("--pairs", type=int, default=15, help="windows with and without (15)")
	parser.add_argument("--window", type=float, default=1.5, help="seconds of each (1.5)")
	parser.add_argument("--rate", type=int, default=6400, help="requests per second (6400)")
	parser.add_argument("--json", type=Path, help="also write the figures here")
	options = parser.parse_args()
	if (os.cpu_count() or 1) < 2 or not shutil.which("wrk"):
		print("scrape: needs two CPUs and wrk", file=sys.stderr)
		return 2
	os.sched_setaffinity(0, {OTHER_CPU})
	with tempfile.TemporaryDirectory(prefix="ringway-scrape-") as folder:
		try:
			r = measure(options, Path(folder))
		except Broken as e:
			print(f"scrape: {e}", file=sys.stderr)
			return 2
	print(f"{r['series']} series, {r['scrapes_per_s']:.1f} scrapes/s, text made in "
	      f"{r['build_ms']:.2f} ms, slowest scrape {r['scrape_longest_ms']:.0f} ms")
	print(f"{r['requests_per_s']:.0f} req/s; {r['unit']} per request on the shard: "
	      f"{r['off']:.3f} without, {r['on']:.3f} with scrapes")
	print(f"turns of the shard per request: {r['turns_off']:.3f} without, {r['turns_on']:.3f} with")
	print(f"change: {r['change_percent']:+.2f}% (median of {options.pairs} pairs; quartiles "
	      f"{r['quartiles_percent'][0]:+.2f}% to {r['quartiles_percent'][1]:+.2f}%); "
	      f"load average {r['load_average']:.1f}")
	if options.json:
		options.json.write_text(json.dumps(r, indent=1) + "\n")
	return 0 if r["change_percent"] < LIMIT_PERCENT else 1


if __name__ == "__main__":
	sys.exit(main())

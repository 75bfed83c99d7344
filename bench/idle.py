"""Memory of a peer per idle keep-alive client connection.

Two runs of the same peer: one limited to few connections that holds none, and one
limited to many that holds exactly as many as it takes. The difference of their
resident sizes, over the difference of the limits, is what a connection costs with
everything that was reserved for it. Each connection that is held had one request
answered, since one that never spoke may not have cost anything yet.

With --tls the same over TLS 1.3 as well: what that costs over a plain connection.
"""
import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import compare

SMALL_LIMIT = 100
PEERS = ["nginx", "haproxy", "ringway"]
REQUEST = b"GET /64 HTTP/1.1\r\nHost: bench\r\n\r\n"
# Lets a peer finish what it does after an answer, and the kernel free what it batches.
SETTLE_S = 2


def rss_bytes(process):
	total = 0
	for pid in process.pids():
		status = Path(f"/proc/{pid}/status").read_text()
		total += int(re.search(r"VmRSS:\s*(\d+) kB", status)[1]) << 10
	return total


def kernel_bytes():
	"""Slab and socket buffers of the whole machine."""
	slab = int(re.search(r"^Slab:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.M)[1]) << 10
	sockstat = Path("/proc/net/sockstat").read_text()
	pages = int(re.search(r"^TCP:.* mem (\d+)", sockstat, re.M)[1])
	return {"slab": slab, "tcp_buffers": pages * resource.getpagesize()}


def hold(port, count, body, trust):
	"""That many connections, each with one request answered; plain without `trust`."""
	held = []
	try:
		for i in range(count):
			s = socket.create_connection(("127.0.0.1", port), timeout=10)
			held.append(s)
			if trust:
				s = held[-1] = trust.wrap_socket(s, server_hostname="localhost")
			s.sendall(REQUEST)
			got = b""
			while not got.endswith(body):
				more = s.recv(65536)
				if not more:
					raise compare.Invalid(f"connection {i} was closed after {got[:200]!r}")
				got += more
			if not got.startswith(b"HTTP/1.1 200 "):
				raise compare.Invalid(f"connection {i} got {got[:200]!r}")
	except OSError as e:
		drop(held)
		raise compare.Invalid(f"connection {len(held)}: {e}") from e
	except compare.Invalid:
		drop(held)
		raise
	return held


def drop(held):
	for s in held:
		s.close()


def check_still_open(held):
	for i, s in enumerate(held):
		s.setblocking(False)
		with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
			raise compare.Invalid(f"connection {i} did not stay open, read {s.recv(64)!r}")


def run_peer(bench, peer, origin_port, limit, count, tls):
	process, port = bench.start_peer(peer, origin_port, clients=limit, tls=tls)
	with contextlib.ExitStack() as cleanup:
		cleanup.callback(process.stop)
		process.wait_for_port(port)
		time.sleep(SETTLE_S)
		kernel = kernel_bytes()
		held = hold(port, count, bench.bodies[64], bench.trust() if tls else None)
		cleanup.callback(drop, held)
		time.sleep(SETTLE_S)
		check_still_open(held)
		after = kernel_bytes()
		return rss_bytes(process), {k: after[k] - kernel[k] for k in kernel}


def measure(bench, peer, count, tls):
	origin, origin_port = bench.start_origin()
	with contextlib.ExitStack() as cleanup:
		cleanup.callback(origin.stop)
		origin.wait_for_port(origin_port)
		small_rss, _ = run_peer(bench, peer, origin_port, SMALL_LIMIT, 0, tls)
		full_rss, kernel = run_peer(bench, peer, origin_port, count, count, tls)
		return {
			"rss_idle_small_limit": small_rss,
			"rss_full": full_rss,
			"user_bytes_per_connection": (full_rss - small_rss) / (count - SMALL_LIMIT),
			"kernel_bytes_per_connection": {k: v / count for k, v in kernel.items()},
		}


def raise_descriptors(needed):
	_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
	if hard < needed:
		try:
			resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
		except (ValueError, OSError) as e:
			raise compare.Broken(f"needs {needed} descriptors, may have {hard}: {e}") from e
	else:
		resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def parse_options():
	path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin"
	p = argparse.ArgumentParser(
		prog="idle.sh", description="Memory per idle keep-alive connection: resident size "
		f"holding N of them with a limit of N, minus holding none with a limit of {SMALL_LIMIT}, "
		f"over N - {SMALL_LIMIT}.",
		epilog="Exit codes: 0 good, 1 a peer is INVALID or the bench failed, 2 usage.")
	p.add_argument("--peers", metavar="LIST", type=compare.choice_list(PEERS), default=PEERS,
	               help="these peers, comma-separated (default: %s)" % ",".join(PEERS))
	p.add_argument("--connections", metavar="N", type=int, default=10000,
	               help="connections that are held (default: %(default)s)")
	p.add_argument("--tls", action="store_true",
	               help="measure over TLS as well, and what that costs over a plain connection")
	p.add_argument("--json", metavar="FILE")
	p.add_argument("--ringway", metavar="PATH", default=compare.BENCH.parent / "build/ringway")
	for tool in ("nginx", "haproxy", "openssl"):
		p.add_argument(f"--{tool}", metavar="PATH", default=shutil.which(tool, path=path) or tool)
	options = p.parse_args()
	if options.connections <= SMALL_LIMIT:
		p.error(f"--connections must be above {SMALL_LIMIT}")
	return options


def print_line(name, r):
	kernel = r["kernel_bytes_per_connection"]
	over = r.get("user_bytes_over_plain")
	print(f"{name:12}{r['user_bytes_per_connection']:12.0f}"
	      f"{'-' if over is None else format(over, '.0f'):>12}{kernel['slab']:13.0f}"
	      f"{kernel['tcp_buffers']:12.0f}{r['rss_full'] >> 10:10}"
	      f"{r['rss_idle_small_limit'] >> 10:10}")


def run(options):
	for tool in {"nginx", *options.peers, *(["openssl"] if options.tls else [])}:
		if not shutil.which(str(getattr(options, tool))):
			raise compare.Broken(f"{tool} is not there: {getattr(options, tool)}")
	# One per connection here and in the peer, and room for what else it opens.
	raise_descriptors(options.connections + 1024)
	results = {}
	print(f"{'':12}{'user B/conn':>12}{'over plain':>12}{'slab B/conn':>13}{'tcp B/conn':>12}"
	      f"{'RSS KiB':>10}{'idle KiB':>10}")
	with tempfile.TemporaryDirectory(prefix="ringway-idle-") as directory:
		os.chmod(directory, 0o755)
		bench = compare.Bench(SimpleNamespace(**vars(options), counters=False), Path(directory))
		if options.tls:
			bench.make_certificate()
		for peer in options.peers:
			for tls in (False, True) if options.tls else (False,):
				name = f"{peer}-tls" if tls else peer
				try:
					r = results[name] = measure(bench, peer, options.connections, tls)
				except compare.Invalid as e:
					results[name] = {"invalid": str(e)}
					print(f"{name:12}INVALID: {e}")
					continue
				if tls and "invalid" not in results[peer]:
					r["user_bytes_over_plain"] = (r["user_bytes_per_connection"] -
					                              results[peer]["user_bytes_per_connection"])
				print_line(name, r)
	print("Slab and tcp are of the whole machine and hold both ends of each connection.")
	if options.json:
		report = {"schema": "ringway-bench-idle/1", "connections": options.connections,
		          "small_limit": SMALL_LIMIT, "peers": results}
		Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
	return 1 if any("invalid" in r for r in results.values()) else 0


def main():
	options = parse_options()
	signal.signal(signal.SIGINT, signal.default_int_handler)
	signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
	try:
		return run(options)
	except compare.Broken as e:
		print(f"idle.sh: {e}", file=sys.stderr)
		return 1
	except KeyboardInterrupt:
		return 130


if __name__ == "__main__":
	sys.exit(main())

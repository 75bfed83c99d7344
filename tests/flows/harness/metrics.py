"""The public counters of an instance, read from /dev/shm as every reader reads them."""

import json
import pathlib
import subprocess

from .process import BINARY, patience

DUMP = BINARY.parent / "tests" / "flows" / "metrics_dump"


def segment_path(instance):
    return pathlib.Path("/dev/shm") / f"ringway-{instance}"


def run_dump(instance):
    return subprocess.run([DUMP, instance], capture_output=True, text=True,
                          timeout=patience(10), check=False)


def counters(instance):
    """Sums over the shards: `sum`, and by `routes` and `endpoints`."""
    done = run_dump(instance)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def by_status(all_counters):
    """Requests by method class and status class, all routes together."""
    total = {}
    for route in all_counters["routes"]:
        for label, n in route["requests"].items():
            total[label] = total.get(label, 0) + n
    return total


def route(all_counters, service, name):
    for one in all_counters["routes"]:
        if (one["service"], one["route"]) == (service, name):
            return one
    raise AssertionError(f"no {service}/{name} in {all_counters['routes']}")

#!/usr/bin/python3
"""Tests of the tree itself, as TAP: every header compiles alone, includes point down.

Usage: tree.py COMPILER [FLAG...]
"""

import concurrent.futures
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def headers():
    """Public ones by the name that others include them by, private ones where they lie."""
    for path in sorted(ROOT.glob("include/ringway/**/*.h")):
        yield path, f"<{path.relative_to(ROOT / 'include')}>"
    for path in sorted(ROOT.glob("src/**/*.h")):
        yield path, f'"{path}"'


def compiles_alone(compiler, path, name):
    # Twice: a header without its guard fails.
    source = f"#include {name}\n#include {name}\n"
    run = subprocess.run([*compiler, f"-I{ROOT / 'include'}", f"-I{path.parent}", "-xc",
                          "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-"],
                         input=source, text=True, capture_output=True)
    return run.returncode == 0, run.stderr


def main():
    compiler = sys.argv[1:]
    results = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [(name, pool.submit(compiles_alone, compiler, path, name))
                for path, name in headers()]
        results += [(f"header {name.strip('<>').replace(str(ROOT) + '/', '')} compiles alone",
                     *job.result()) for name, job in jobs]
    layering = subprocess.run([ROOT / "tests/layering"], text=True, capture_output=True)
    results.append(("includes point down", layering.returncode == 0, layering.stdout))

    print(f"1..{len(results)}")
    for number, (name, ok, why) in enumerate(results, 1):
        print(f"{'ok' if ok else 'not ok'} {number} - {name}")
        if not ok:
            print("\n".join("# " + line for line in why.splitlines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

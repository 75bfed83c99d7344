#!/usr/bin/python3
"""Counts the cases of one run: prints "passed failed", then each failure on a line.

    count.py meson LOG.json     what `meson test` left (one JSON object per test program)
    count.py pytest JUNIT.xml   what pytest left

A program that prints TAP counts by its lines, any other as one case. A program that broke
without a failed line (a crash, a timeout, too few lines for its plan) is one failure more.
Skipped cases count for nothing, and a file that is missing or unreadable is a failure.
"""

import json
import re
import sys
import xml.etree.ElementTree

TAP_LINE = re.compile(r"^(not )?ok\b[ \d]*-? *([^#\n]*)(# *(?:skip|todo)\b)?", re.I | re.M)


def count_meson(path):
    passed, failures = 0, []
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            test = json.loads(line)
            name, result = test["name"], test["result"]
            lines = TAP_LINE.findall(test.get("stdout", ""))
            broken = [what.strip() for no, what, excuse in lines if no and not excuse]
            fine = sum(1 for no, _, excuse in lines if not no and not excuse)
            passed += fine
            failures += [f"{name}: {what}" for what in broken]
            if result in ("OK", "EXPECTEDFAIL"):
                passed += 0 if lines else 1
            elif result != "SKIP" and not broken:
                failures.append(f"{name}: {result.lower()}")
    return passed, failures


def count_pytest(path):
    passed, failures = 0, []
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            failures.append(f"{case.get('classname')}: {case.get('name')}")
        elif "skipped" not in outcomes:
            passed += 1
    return passed, failures


def main():
    kind, path = sys.argv[1:]
    try:
        passed, failures = {"meson": count_meson, "pytest": count_pytest}[kind](path)
    except (OSError, ValueError, xml.etree.ElementTree.ParseError) as error:
        passed, failures = 0, [f"no readable results: {error}"]
    print(passed, len(failures))
    for failure in failures:
        print(failure)


main()

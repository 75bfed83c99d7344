#!/bin/sh
# Memory that an idle keep-alive connection costs: see bench/README.md, or --help.
exec /usr/bin/python3 "$(dirname -- "$0")/idle.py" "$@"

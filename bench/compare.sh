#!/bin/sh
# nginx, HAProxy, the raw relay and Ringway in turn, each alone on CPU 0.
# What is measured and how to read it: bench/README.md, or --help.
exec /usr/bin/python3 "$(dirname -- "$0")/compare.py" "$@"

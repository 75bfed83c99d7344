#!/bin/sh
# What being scraped costs the shards: see bench/README.md, or --help.
exec /usr/bin/python3 "$(dirname -- "$0")/scrape.py" "$@"

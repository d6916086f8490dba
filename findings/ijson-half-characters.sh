#!/usr/bin/env bash
# ijson 3.6.0 (yajl2_c): half a surrogate pair becomes "?" without a word, and memory grows with the square of the depth.
#
# Found: `ijson.items(file, "item")` gives "?" for the JSON text "\ud83d", where json.loads keeps the half (so that a
# caller can see that no request can hold it). Lists within lists take 72 MiB at 5,000 levels and 969 MiB at 20,000: a
# file of 40 KB; one of 200 KB was ended by the kernel, for want of memory. json.loads raises RecursionError there.
# Expected: an error, or the half kept; memory in proportion to the file.
# Seen 2026-11-29 with Python 3.11.7: half a pair: ['?']; 5000 levels: 72 MiB; 20000 levels: 969 MiB.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv" && "$here/venv/bin/pip" install --quiet 'ijson==3.6.0' || exit 2
ulimit -v 6000000
"$here/venv/bin/python" - <<'PY'
import io
import resource
import sys

import ijson

half = list(ijson.items(io.BytesIO(b'["\\ud83d"]'), "item"))
print(f"{ijson.backend}: half a pair: {half}")
seen = []
for levels in (5000, 20000):
    list(ijson.items(io.BytesIO(b"[" * levels + b"]" * levels), "item"))
    seen.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    print(f"{levels} levels: {seen[-1]} MiB")
sys.exit(0 if half == ["?"] and seen[1] > 6 * seen[0] else 1)
PY

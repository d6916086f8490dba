#!/usr/bin/env bash
# pyarrow 26.0.1: pa.array of a list of floats imports pandas, where it is installed; of a buffer it does not.
#
# Found: `pa.array([1.0])` puts pandas into sys.modules, which costs a quarter of a second once. `Array.to_numpy()` does
# so, too. Without pandas both work all the same. `pa.Array.from_buffers` and `np.frombuffer` need no pandas.
# Expected: a list of floats is none of pandas' concern. A process that is timed pays at its first batch.
# Seen 2026-11-29 (pandas 3.1.1, Python 3.11.7): after import False, after pa.array([1.0]) True.
set -euo pipefail
source "$(dirname "$0")/support/packages.sh"
packages 'pyarrow==26.0.1' 'pandas==3.1.1' 'numpy==2.4.6'
"$VENV/bin/python" - <<'PY'
import sys
import time

import pyarrow as pa

before = "pandas" in sys.modules
pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(bytes(8))])
buffers = "pandas" in sys.modules
begun = time.perf_counter()
pa.array([1.0])
took = time.perf_counter() - begun
after = "pandas" in sys.modules
print(f"pandas imported: after import {before}, from buffers {buffers}, after pa.array([1.0]) {after} ({took:.2f} s)")
sys.exit(0 if (before, buffers, after) == (False, False, True) else "this is no longer so")
PY

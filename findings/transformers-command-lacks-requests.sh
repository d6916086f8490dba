#!/usr/bin/env bash
# transformers 5.19.0: its command `transformers` imports `requests`, which neither the package nor its extra asks for.
#
# Found: in a new environment with what pip brings for the package, each use of the command, `transformers serve` too,
# ends with ModuleNotFoundError: cli/chat.py imports requests. huggingface_hub, which once brought it, uses httpx.
# The extra `serving` (openai, uvicorn, fastapi and so on) does not name it either.
# Expected: a command that starts with what its package declares.
# Seen 2026-11-29 with Python 3.11: alone: No module named 'requests'; with it: starts; declared for serving: no
set -euo pipefail
source "$(dirname "$0")/support/packages.sh"
packages transformers==5.19.0 rich # of the extra; without torch, which is large and takes no part
alone=$("$VENV/bin/transformers" --help 2>&1 | tail -n 1 | sed -n 's/^ModuleNotFoundError: //p') || true
packages requests==2.34.2
with=no
"$VENV/bin/transformers" --help >"$TMP/help.log" 2>&1 && with=starts
declared=$(
  "$VENV/bin/python" - <<'PY'
from importlib.metadata import requires

names = [each for each in requires("transformers") if "extra ==" not in each or 'extra == "serving"' in each]
print("yes" if any(each.startswith("requests") for each in names) else "no")
PY
)
echo "alone: $alone; with it: $with; declared for serving: $declared"
[ "$alone, $with, $declared" = "No module named 'requests', starts, no" ]

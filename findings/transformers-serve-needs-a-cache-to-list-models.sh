#!/usr/bin/env bash
# transformers 5.19.0: `transformers serve FOLDER` answers GET /v1/models with 500 where there is no Hugging Face cache.
#
# Found: the list is made from the hub's cache folder alone, and the model that the server is pinned to is not in it.
# Without that folder, as in a new container, the answer is 500; with an empty one the list is empty. The model serves
# in both cases. So a client that asks for the model's name first finds none.
# Expected: the model that is served.
# Seen 2026-11-29 (torch 2.13.0+cpu): no cache: 500; empty cache: 200 with 0 models; a chat meanwhile: 200
set -euo pipefail
source "$(dirname "$0")/support/transformers_serve.sh"
python3 - "$port" "$TMP/model" "$HF_HOME/hub" <<'PY'
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

port, model, cache = sys.argv[1:]


def ask(path, body=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body and json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        answer = urllib.request.urlopen(request, timeout=120)
        return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, None


without, _ = ask("/v1/models")
chat, _ = ask("/v1/chat/completions", {"model": model, "max_tokens": 4, "messages": [{"role": "user", "content": "word"}]})
Path(cache).mkdir(parents=True)
status, listed = ask("/v1/models")
count = len(listed["data"]) if listed else None
print(f"no cache: {without}; empty cache: {status} with {count} models; a chat meanwhile: {chat}")
sys.exit(0 if (without, status, count, chat) == (500, 200, 0, 200) else "this is no longer so")
PY

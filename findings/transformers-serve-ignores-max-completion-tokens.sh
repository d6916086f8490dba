#!/usr/bin/env bash
# transformers 5.19.0: `transformers serve` takes `max_completion_tokens` and makes 1,024 tokens all the same.
#
# Found: OpenAI's name for the bound of a chat's answer is among the fields that it passes over; a line of its own log
# says so, the client gets 200. `max_tokens`, deprecated by OpenAI, works. So an answer that was to have 4 tokens takes
# 1,024, or what the model's end token leaves of them.
# Expected: 4 tokens, or 422 as for fields that it does not know.
# Seen 2026-11-29 (torch 2.13.0+cpu): asked for 4: max_tokens 4, max_completion_tokens 1024; unknown field: 422
set -euo pipefail
source "$(dirname "$0")/support/transformers_serve.sh"
python3 - "$port" "$TMP/model" <<'PY'
import json
import sys
import urllib.error
import urllib.request


def ask(**fields):
    """The answer's tokens, or the status where it is refused."""
    body = {"model": sys.argv[2], "messages": [{"role": "user", "content": "word"}], "temperature": 0, **fields}
    url = f"http://127.0.0.1:{sys.argv[1]}/v1/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        return json.loads(urllib.request.urlopen(request, timeout=300).read())["usage"]["completion_tokens"]
    except urllib.error.HTTPError as error:
        return error.code


found = ask(max_tokens=4), ask(max_completion_tokens=4), ask(nonsense=4)
print(f"asked for 4: max_tokens {found[0]}, max_completion_tokens {found[1]}; unknown field: {found[2]}")
sys.exit(0 if found == (4, 1024, 422) else "this is no longer so")
PY

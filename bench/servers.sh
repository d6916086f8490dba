#!/usr/bin/env bash
# Start a real server and load it: bench/servers.sh NAME [OPTIONS of `tokenswarm run`]. Not for CI. docs/servers.md has
# what came of it. vLLM is that of `make server-setup`; the others are pinned public packages, installed into a
# temporary environment, or into $VENVS/NAME. $RUN_WITH, if given, starts the load ("taskset -c 1").
set -euo pipefail
servers="vllm vllm-api-servers vllm-data-parallel vllm-tools vllm-adapters litellm vllm-router transformers llamacpp"
name=${1:?one of: $servers}
shift
source "$(dirname "$0")/../findings/support/packages.sh"
VENV=${VENVS:+$VENVS/$name}
VENV=${VENV:-$TMP/venv}
root=$(cd "$HERE/.." && pwd)
model=$(cd "$root" && .venv/bin/python -m server.model)
port=$(free_port)
options=()

vllm() {
  export VLLM_TARGET_DEVICE=cpu VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 HF_HUB_OFFLINE=1
  mkdir -p "$TMP/named/vllm-0.32.0+cpu.dist-info" # its command asks for the version of a package of this name
  printf 'Name: vllm\nVersion: 0.32.0+cpu\n' >"$TMP/named/vllm-0.32.0+cpu.dist-info/METADATA"
  PYTHONPATH=$TMP/named begin "$root/.venv-server/bin/python" -m vllm.entrypoints.cli.main serve "$model" --served-model-name cpu-tiny \
    --host 127.0.0.1 --port "$port" --dtype float32 --max-model-len 20480 --enforce-eager "$@"
  answers "http://127.0.0.1:$port/health"
}

adapters() {
  local adapter
  for adapter in one two; do
    "$root/.venv-server/bin/python" - "$model" "$TMP/$adapter" <<'PY'
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

model, folder = Path(sys.argv[1]), Path(sys.argv[2])
config = json.loads((model / "config.json").read_text())
width, rank = config["hidden_size"], 8
heads = {"q_proj": config["num_attention_heads"], "v_proj": config["num_key_value_heads"]}
weights = {}
for layer in range(config["num_hidden_layers"]):
    for name, count in heads.items():
        place = f"base_model.model.model.layers.{layer}.self_attn.{name}"
        weights[f"{place}.lora_A.weight"] = 0.02 * torch.randn(rank, width)
        weights[f"{place}.lora_B.weight"] = 0.02 * torch.randn(count * config["head_dim"], rank)
folder.mkdir()
save_file(weights, folder / "adapter_model.safetensors")
about = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 16, "bias": "none",
         "target_modules": list(heads), "base_model_name_or_path": str(model)}
(folder / "adapter_config.json").write_text(json.dumps(about))
PY
  done
  sed '$a adapters: {names: [one, two], zipf: 1}' "$root/scenarios/chat-medium.yaml" >"$TMP/adapters.yaml"
  options=(--scenario "$TMP/adapters.yaml" --model cpu-tiny)
  vllm --enable-lora --max-lora-rank 8 --lora-modules "one=$TMP/one" "two=$TMP/two"
}

litellm() {
  vllm
  [ -x "$VENV/bin/litellm" ] || packages 'litellm[proxy]==1.108.7'
  echo "model_list: [{model_name: cpu-tiny, litellm_params: {model: hosted_vllm/cpu-tiny, api_key: none," \
    "api_base: http://127.0.0.1:$port/v1}}]" >"$TMP/litellm.yaml"
  export LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=true LITELLM_LOCAL_MODEL_COST_MAP=True
  options=(--metrics-host "http://127.0.0.1:$port")
  port=$(free_port)
  begin "$VENV/bin/litellm" --config "$TMP/litellm.yaml" --host 127.0.0.1 --port "$port"
  answers "http://127.0.0.1:$port/v1/models"
}

router() {
  vllm
  [ -x "$VENV/bin/vllm-router" ] || packages vllm-router==0.1.17
  options=(--metrics-host "http://127.0.0.1:$port")
  local server=http://127.0.0.1:$port
  port=$(free_port)
  begin "$VENV/bin/vllm-router" --host 127.0.0.1 --port "$port" --prometheus-port "$(free_port)" --worker-urls "$server"
  answers "http://127.0.0.1:$port/v1/models"
}

transformers() {
  packages --extra-index-url https://download.pytorch.org/whl/cpu 'torch==2.13.0+cpu'
  packages 'transformers[serving]==5.19.0' requests==2.34.2 # `transformers` imports it, and does not ask for it
  # without a number of blocks it fills the machine's memory with them
  begin "$VENV/bin/transformers" serve "$model" --device cpu --continuous-batching --cb-num-blocks 512 \
    --cb-max-batch-tokens 2048 --host 127.0.0.1 --port "$port"
  answers "http://127.0.0.1:$port/health"
  options=(--model "$model" --tokenizer "$model") # it lists no model, and has no /tokenize
}

llamacpp() {
  packages xllamacpp==2026.10.11549 gguf==0.19.0
  "$VENV/bin/python" - "$model" "$TMP/model.gguf" <<'PY'
import json
import sys
from pathlib import Path

import gguf
import numpy as np

folder, file = Path(sys.argv[1]), sys.argv[2]
config, tokens, settings = (
    json.loads((folder / name).read_text()) for name in ("config.json", "tokenizer.json", "tokenizer_config.json")
)
raw = (folder / "model.safetensors").read_bytes()
size = int.from_bytes(raw[:8], "little")
head = json.loads(raw[8 : 8 + size])
head.pop("__metadata__", None)
heads, shared, width = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
to = gguf.GGUFWriter(file, "llama")
to.add_context_length(config["max_position_embeddings"])
to.add_embedding_length(config["hidden_size"])
to.add_block_count(config["num_hidden_layers"])
to.add_feed_forward_length(config["intermediate_size"])
to.add_head_count(heads)
to.add_head_count_kv(shared)
to.add_key_length(width)
to.add_value_length(width)
to.add_rope_dimension_count(width)
to.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
to.add_layer_norm_rms_eps(config["rms_norm_eps"])
to.add_vocab_size(config["vocab_size"])
to.add_file_type(gguf.LlamaFileType.ALL_F32)
special = {each["content"]: each["id"] for each in tokens["added_tokens"]}
vocabulary = tokens["model"]["vocab"] | special
words = sorted(vocabulary, key=vocabulary.get)
to.add_tokenizer_model("gpt2")
to.add_tokenizer_pre("gpt-2")
to.add_token_list(words)
to.add_token_types([gguf.TokenType.CONTROL if word in special else gguf.TokenType.NORMAL for word in words])
to.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in tokens["model"]["merges"]])
to.add_bos_token_id(config["bos_token_id"])
to.add_eos_token_id(config["eos_token_id"])
to.add_chat_template(settings["chat_template"])
outer = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
inner = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "gate_proj": "ffn_gate",
         "up_proj": "ffn_up", "down_proj": "ffn_down", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm"}
for name, each in head.items():
    start, end = each["data_offsets"]
    data = np.frombuffer(raw[8 + size + start : 8 + size + end], np.float32).reshape(each["shape"])
    *path, _ = name.split(".")
    if path[-1] in ("q_proj", "k_proj"):  # llama.cpp rotates pairs of neighbours, transformers halves
        count = heads if path[-1] == "q_proj" else shared
        data = data.reshape(count, 2, data.shape[0] // count // 2, -1).swapaxes(1, 2).reshape(data.shape)
    place = outer.get(".".join(path)) or f"blk.{path[2]}.{inner[path[-1]]}"
    to.add_tensor(f"{place}.weight", np.ascontiguousarray(data))
to.write_header_to_file()
to.write_kv_data_to_file()
to.write_tensors_to_file()
to.close()
PY
  begin "$VENV/bin/python" -c "
import sys, time, xllamacpp
asked = xllamacpp.CommonParams()
asked.model.path, asked.hostnames, asked.port = sys.argv[1], ['127.0.0.1'], int(sys.argv[2])
asked.n_parallel, asked.n_ctx, asked.use_jinja = 16, 16 * 2048, True
server = xllamacpp.Server(asked)
while True: time.sleep(60)" "$TMP/model.gguf" "$port"
  answers "http://127.0.0.1:$port/v1/models"
}

case $name in
vllm-api-servers) vllm --api-server-count 2 ;;
vllm-data-parallel) vllm --data-parallel-size 2 ;;
vllm-tools) vllm --enable-auto-tool-choice --tool-call-parser hermes ;;
vllm-adapters) adapters ;;
vllm-router) router ;;
vllm | litellm | transformers | llamacpp) "$name" ;;
*) echo "no server $name; there are: $servers"; exit 2 ;;
esac
[ "$name" != llamacpp ] || options=(--tokenizer "$model")
cd "$root"
${RUN_WITH:-} .venv/bin/python -m tokenswarm run "$name" --host "http://127.0.0.1:$port" "${options[@]}" "$@"

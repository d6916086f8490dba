#!/usr/bin/env bash
# Start a real server that is not vLLM and load it: bench/servers.sh llamacpp [OPTIONS of `tokenswarm run`]. Not for CI:
# it installs pinned public packages into a temporary environment. docs/servers.md holds what came of it. The model is
# the project's own for CPUs, which `make serve TARGET=cpu-tiny` makes.
set -euo pipefail
name=${1:?llamacpp}
shift
source "$(dirname "$0")/../findings/support/packages.sh"
root=$(cd "$HERE/.." && pwd)
model=$(find "$root/.cache/models" -maxdepth 1 -name 'cpu-tiny-*' | head -n 1)
[ -n "$model" ] || { echo "no CPU model: make serve TARGET=cpu-tiny makes it"; exit 2; }

llamacpp() {
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
while True: time.sleep(60)" "$TMP/model.gguf" "$1"
  answers "http://127.0.0.1:$1/v1/models"
}

case $name in
llamacpp)
  packages xllamacpp==2026.10.11549 gguf==0.19.0
  port=$(free_port)
  llamacpp "$port"
  ;;
*) echo "no server $name; there is: llamacpp"; exit 2 ;;
esac
"$root/.venv/bin/python" -m tokenswarm run "$name" --host "http://127.0.0.1:$port" --tokenizer "$model" "$@"

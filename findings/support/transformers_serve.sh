# Sourced. `transformers serve` with a tiny model of random weights at $port; the hub's cache, $HF_HOME, is empty.
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"
packages --extra-index-url https://download.pytorch.org/whl/cpu 'torch==2.13.0+cpu' # alone and first
packages 'transformers[serving]==5.19.0' requests==2.34.2 # which the command imports and does not ask for
export HF_HOME=$TMP/hub HF_HUB_OFFLINE=1
"$VENV/bin/python" - "$TMP/model" >/dev/null 2>&1 <<'PY'
import sys

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

words = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "word": 2}, unk_token="word"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
names = {"unk_token": "word", "bos_token": "<s>", "eos_token": "</s>"}
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **names)
tokenizer.chat_template = "{% for message in messages %}word {% endfor %}"
tokenizer.save_pretrained(sys.argv[1])
shape = {"vocab_size": 256, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
heads = {"num_attention_heads": 1, "num_key_value_heads": 1, "max_position_embeddings": 2048}
LlamaForCausalLM(LlamaConfig(bos_token_id=0, eos_token_id=None, **shape, **heads)).save_pretrained(sys.argv[1])
PY
port=$(free_port)
begin "$VENV/bin/transformers" serve "$TMP/model" --device cpu --host 127.0.0.1 --port "$port"
answers "http://127.0.0.1:$port/health"

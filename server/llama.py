"""Builds the model of the GPU targets that download none: Llama-2-7B-AWQ's shape, for `--load-format dummy`.

vLLM fills in random weights, so the folder holds configuration and a tokenizer alone. The tokenizer has as
many tokens as Llama-2's: that of the CPU model, and made-up words, which the loads never send.
"""

import hashlib
import itertools
import json
import string
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from common.places import cache
from server import model

NAME = "llama-2-7b-awq-random"
VOCABULARY, CONTEXT = 32_000, 4096
TOKENIZER_CONFIG = model.TOKENIZER_CONFIG | {"model_max_length": CONTEXT}
CONFIG: dict[str, Any] = {  # TheBloke/Llama-2-7B-AWQ's config.json, but for the numbers of the special tokens
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": model.CONFIG["bos_token_id"],
    "dtype": "float16",
    "eos_token_id": model.CONFIG["eos_token_id"],
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 11008,
    "max_position_embeddings": CONTEXT,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "pretraining_tp": 1,
    "quantization_config": {
        "bits": 4,
        "group_size": 128,
        "modules_to_not_convert": None,
        "quant_method": "awq",
        "version": "gemm",
        "zero_point": True,
    },
    "rms_norm_eps": 1e-5,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "use_cache": True,
    "vocab_size": VOCABULARY,
}


def folder() -> Path:
    """Where it lives; the name changes with whatever it is made from."""
    recipe = json.dumps([CONFIG, TOKENIZER_CONFIG, model.CHAT_TEMPLATE, model.TOKENIZER_DIGEST])
    return cache() / "models" / f"{NAME}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure() -> Path:
    """Build it unless it is there; return its folder. Raises UsageError where it cannot be written."""
    return model.whole(folder(), build)


def build(place: Path) -> None:
    """Write its files into the folder `place`."""
    model.write_tokenizer(place, tokenizer(), TOKENIZER_CONFIG)
    model.write_json(place / "config.json", CONFIG)


def tokenizer() -> Tokenizer:
    """One of exactly VOCABULARY tokens."""
    found = model.train_tokenizer()
    syllables = itertools.product("bcdfghjklm", "aeiou", "npqrstvwxz", "aeiou", string.ascii_lowercase)
    words = (f" q{''.join(letters)}" for letters in syllables)
    missing = itertools.islice(words, VOCABULARY - found.get_vocab_size())
    found.add_tokens([AddedToken(word, normalized=False) for word in missing])
    return found

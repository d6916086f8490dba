"""Builds the model of the cpu-tiny target: a Llama with random weights and a tokenizer of its own.

    python -m server.model

The same bits on every machine: the weights come from the raw output of PCG64 (whose stream NumPy keeps
stable) by exact float32 operations; the tokenizer is trained on text made in server/corpus.py. The digests
of what was built are compared with the ones written here, so a difference is an error and never a surprise.

Deep and narrow, so that a step costs much by itself and little for each sequence in it. A wider one that just
kept up with 20 requests/s on one 2-core machine fell behind on another; this one leaves room on both sides
between what large batches can do and what 8 sequences at a time can.
"""

import hashlib
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from common.places import cache
from common.usage import UsageError, exit_code
from server import corpus

SEED = 20_24
VOCABULARY = 8192
BEGIN, END = "<|begin|>", "<|end|>"
SPECIAL = (BEGIN, END, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": SPECIAL.index(BEGIN),
    "dtype": "float32",
    "eos_token_id": SPECIAL.index(END),
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 32768,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 2,
    "num_hidden_layers": 12,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "tie_word_embeddings": False,
    "use_cache": True,
    "vocab_size": VOCABULARY,
}
TOKENIZER_CONFIG = {
    "bos_token": BEGIN,
    "clean_up_tokenization_spaces": False,
    "eos_token": END,
    "model_max_length": CONFIG["max_position_embeddings"],
    "pad_token": END,
    "tokenizer_class": "PreTrainedTokenizerFast",
}
CHAT_TEMPLATE = (
    "{{ '" + BEGIN + "' }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + (message['content'] or '') + '" + END + "' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
LOGIT_SCALE = 4  # spreads the logits, so that tokens held back (logit 0) are as good as never sampled
DIGESTS = {
    "model.safetensors": "58718113dede06e90b4e468833d12e3e6166a4bd8922526b1c6f243b5c7ff666",
    "tokenizer.json": "b66e82de84a65f64ce776c35f67c66697ff66cb57b82b8a55d26dc4ae0c65bf6",
}


def folder() -> Path:
    """Where the model lives; the name changes with whatever the model is made from."""
    recipe = json.dumps([CONFIG, TOKENIZER_CONFIG, CHAT_TEMPLATE, LOGIT_SCALE, SEED, DIGESTS], sort_keys=True)
    return cache() / "models" / f"cpu-tiny-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure() -> Path:
    """Build the model unless it is there; return its folder. Takes a few seconds the first time."""
    place = folder()
    if (place / "config.json").is_file():
        return place
    try:
        _build_whole(place)
    except OSError as error:
        raise UsageError(f"{place}: the CPU model cannot be built there: {error.strerror}") from None
    return place


def _build_whole(place: Path) -> None:
    """Build it beside `place`, and then rename it: whole or not at all, for two first runs at once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=place.parent, prefix=".building-"))
    try:
        build(work)
        for name, expected in DIGESTS.items():
            found = hashlib.sha256((work / name).read_bytes()).hexdigest()
            if found != expected:
                raise UsageError(
                    f"the CPU model's {name} came out with sha256 {found}, not {expected}; "
                    "install the packages at the versions in requirements.txt"
                )
        try:
            work.rename(place)
        except OSError:
            if not (place / "config.json").is_file():  # else another one was first
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def build(place: Path) -> None:
    """Write the model's files into the folder `place`."""
    tokenizer = train_tokenizer()
    (place / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    _write_json(place / "tokenizer_config.json", {**TOKENIZER_CONFIG, "chat_template": CHAT_TEMPLATE})
    weights = save(make_weights(speakable(tokenizer)), metadata={"format": "pt"})
    (place / "model.safetensors").write_bytes(weights)
    ids = {name: CONFIG[name] for name in ("bos_token_id", "eos_token_id")}
    _write_json(place / "generation_config.json", {"_from_model_config": True, "do_sample": False, **ids})
    _write_json(place / "config.json", CONFIG)


def train_tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer of exactly VOCABULARY tokens, trained on server/corpus.py."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=1,
        show_progress=False,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(corpus.lines(), trainer=trainer)
    if tokenizer.get_vocab_size() != VOCABULARY:
        raise RuntimeError(f"the corpus gives {tokenizer.get_vocab_size()} tokens, not {VOCABULARY}")
    return tokenizer


def speakable(tokenizer: Tokenizer) -> np.ndarray:
    """Which tokens the model may say: shape (VOCABULARY,), True for a space and letters, e.g. " house".

    Each is text by itself, so each generated token is a streamed chunk that carries text.
    """
    texts = [tokenizer.decode([token], skip_special_tokens=False) for token in range(VOCABULARY)]
    return np.array([text[:1] == " " and text[1:].isascii() and text[1:].isalpha() for text in texts])


def make_weights(may_say: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of the model, float32, by name. Output rows of tokens not in `may_say` are zero."""
    hidden, inner, head = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["head_dim"]
    queries, keys = CONFIG["num_attention_heads"] * head, CONFIG["num_key_value_heads"] * head
    source = np.random.PCG64(SEED)
    weights = {"model.embed_tokens.weight": _uniform(source, VOCABULARY, hidden, scale=1.0)}
    for layer in range(CONFIG["num_hidden_layers"]):
        for name, rows, columns in (
            ("self_attn.q_proj", queries, hidden),
            ("self_attn.k_proj", keys, hidden),
            ("self_attn.v_proj", keys, hidden),
            ("self_attn.o_proj", hidden, queries),
            ("mlp.gate_proj", inner, hidden),
            ("mlp.up_proj", inner, hidden),
            ("mlp.down_proj", hidden, inner),
        ):
            weights[f"model.layers.{layer}.{name}.weight"] = _uniform(source, rows, columns)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"model.layers.{layer}.{name}.weight"] = np.ones(hidden, dtype=np.float32)
    weights["model.norm.weight"] = np.ones(hidden, dtype=np.float32)
    head_rows = _uniform(source, VOCABULARY, hidden) * np.float32(LOGIT_SCALE)
    weights["lm_head.weight"] = np.where(may_say[:, None], head_rows, np.float32(0))
    return weights


def _uniform(source: np.random.PCG64, rows: int, columns: int, scale: float | None = None) -> np.ndarray:
    """Random values of mean 0 and standard deviation `scale`, 1/sqrt(columns) unless told."""
    top = source.random_raw(rows * columns) >> np.uint64(40)  # 24 bits: exact in float32
    unit = top.astype(np.float32) * np.float32(2**-23) - np.float32(1)  # [-1, 1)
    deviation = math.sqrt(1 / columns) if scale is None else scale  # sqrt is exact to the bit; ** may not be
    spread = np.float32(math.sqrt(3.0) * deviation)
    return (unit * spread).reshape(rows, columns)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> int:
    print(ensure())
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))

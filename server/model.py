"""Builds the model of the cpu-tiny target: a Llama with random weights and a tokenizer of its own.

    python -m server.model

The same bits on every machine: the weights come from the raw output of PCG64 (whose stream NumPy keeps
stable) by exact float32 operations; the tokenizer is trained on text made in server/corpus.py. The digests
of what was built are compared with the ones written here, so a difference is an error and never a surprise.

Deep and narrow, so that a step costs much by itself and little for each sequence in it. How deep is chosen
by the machine's speed (server/shape.py) from a few fixed numbers of layers; the same number gives the same
bits.
"""

import hashlib
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
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
from server.shape import STANDARD

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
    "num_hidden_layers": STANDARD,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "tie_word_embeddings": False,
    "use_cache": True,
    "vocab_size": VOCABULARY,
}
TOKENIZER_CONFIG: dict[str, Any] = {
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
TOKENIZER_DIGEST = "b66e82de84a65f64ce776c35f67c66697ff66cb57b82b8a55d26dc4ae0c65bf6"
WEIGHTS_DIGESTS = {  # by the number of layers: server.shape.LAYERS
    4: "6ff987f964e811a3ee307d6c027371639cec34ab7a88a6ef096a66cbce4ba022",
    8: "23934327346acf6e1e5adb912313445258ea02f38e955c97dfaae78dfcae1eaa",
    12: "58718113dede06e90b4e468833d12e3e6166a4bd8922526b1c6f243b5c7ff666",
    18: "8adfaf9d9dc2563cedea5f92418dac1e77cf689b28e33277a1bea50a4a316145",
    26: "2c0b58552a963f5ed0fc6fc05e8faaa0a846ddc7c2a1b11b97e8cc7a7aa9c548",
    36: "ac8cfeed70aa8d18bd2ecabc8689126c3c3ebf5680e9403751f1beb463bff8b3",
    50: "acb036d62704134ee26b6787303b20670c12f7f84e78fcd30412c87a3ad69b3a",
}


def config(layers: int = STANDARD) -> dict[str, Any]:
    """config.json of the model with so many layers."""
    return CONFIG | {"num_hidden_layers": layers}


def digests(layers: int) -> dict[str, str]:
    """sha256 of the files that are compared."""
    return {"model.safetensors": WEIGHTS_DIGESTS[layers], "tokenizer.json": TOKENIZER_DIGEST}


def folder(layers: int = STANDARD) -> Path:
    """Where the model lives; the name changes with whatever the model is made from."""
    made_from = [config(layers), TOKENIZER_CONFIG, CHAT_TEMPLATE, LOGIT_SCALE, SEED, digests(layers)]
    recipe = json.dumps(made_from, sort_keys=True)
    return cache() / "models" / f"cpu-tiny-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure(layers: int = STANDARD) -> Path:
    """Build the model unless it is there; return its folder. Takes a few seconds the first time."""
    return whole(folder(layers), lambda work: _build_checked(work, layers))


def whole(place: Path, make: Callable[[Path], None]) -> Path:
    """`make` a model in `place` unless it is there: whole or not at all, for two first runs at once.

    Raises UsageError where it cannot be written.
    """
    if not (place / "config.json").is_file():
        try:
            _make_beside(place, make)
        except OSError as error:
            raise UsageError(f"{place}: the model cannot be built there: {error.strerror}") from None
    return place


def _make_beside(place: Path, make: Callable[[Path], None]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=place.parent, prefix=".building-"))
    try:
        make(work)
        try:
            work.rename(place)
        except OSError:
            if not (place / "config.json").is_file():  # else another one was first
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _build_checked(place: Path, layers: int) -> None:
    build(place, layers)
    for name, expected in digests(layers).items():
        found = hashlib.sha256((place / name).read_bytes()).hexdigest()
        if found != expected:
            raise UsageError(
                f"the CPU model's {name} came out with sha256 {found}, not {expected}; "
                "install the packages at the versions in requirements.txt"
            )


def build(place: Path, layers: int = STANDARD) -> None:
    """Write the model's files into the folder `place`."""
    tokenizer = train_tokenizer()
    write_tokenizer(place, tokenizer, TOKENIZER_CONFIG)
    weights = save(make_weights(speakable(tokenizer), layers), metadata={"format": "pt"})
    (place / "model.safetensors").write_bytes(weights)
    write_json(place / "config.json", config(layers))


def write_tokenizer(place: Path, tokenizer: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Its files, and how answers begin and end. `settings`: of its tokenizer_config.json."""
    (place / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    write_json(place / "tokenizer_config.json", {**settings, "chat_template": CHAT_TEMPLATE})
    ids = {name: CONFIG[name] for name in ("bos_token_id", "eos_token_id")}
    write_json(place / "generation_config.json", {"_from_model_config": True, "do_sample": False, **ids})


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


def make_weights(may_say: np.ndarray, layers: int = STANDARD) -> dict[str, np.ndarray]:
    """Every tensor of the model, float32, by name. Output rows of tokens not in `may_say` are zero."""
    hidden, inner, head = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["head_dim"]
    queries, keys = CONFIG["num_attention_heads"] * head, CONFIG["num_key_value_heads"] * head
    source = np.random.PCG64(SEED)
    weights = {"model.embed_tokens.weight": _uniform(source, VOCABULARY, hidden, scale=1.0)}
    for layer in range(layers):
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


def write_json(path: Path, content: dict[str, Any]) -> None:
    """One of the model's JSON files: the same bytes for the same content."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> int:
    print(ensure())
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))

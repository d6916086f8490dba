"""The roofline of a decoder on one accelerator: FLOPs, bytes and the bounds that follow from them.

Everything is computed from the model's own config.json and the hardware's peaks; nothing is measured
here. What is counted in one step (one forward pass):

- FLOPs: 2 for every weight of the linear layers and the output head and every token (a multiply and
  an add), and 4 x heads x head_dim x layers for every token and every position it attends to (Q.K and
  the weighted sum of V; Kaplan et al. 2020, arXiv:2001.08361, section 2.1).
- Bytes: every weight that the step touches once (the embedding table only for the rows looked up), the
  KV cache of the context read once for each sequence, and the new tokens' K and V written. Activations
  are left out: kernels keep them in cache or fuse them, so the bytes are a lower bound and the
  arithmetic intensity an upper one.

Attainable FLOP/s = min(peak, intensity x bandwidth) (Williams, Waterman and Patterson, CACM 52(4), 2009).
The bounds are what the hardware cannot beat, not what it will reach.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

# Decoders whose blocks are q, k, v, o projections and a gated MLP (gate, up, down) with RMS norms.
GATED_DECODERS = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "phi3", "granite"})
BYTES_OF_DTYPE = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}


class UnknownModelError(ValueError):
    """config.json describes a model that these formulas do not cover; the text says which part."""


@dataclass(frozen=True)
class Model:
    """A dense decoder's shape. Counts are numbers of weights, sizes are bytes."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool  # the output head is the embedding table
    dtype_bytes: float  # weights that are not quantised, activations
    linear_bytes: float  # one layer's linear weights, quantisation scales and zero points included
    kv_dtype_bytes: float
    quantization: str  # "none", "awq 4 bit", ...
    small: int  # norms and biases, which are not quantised
    sliding_window: int | None = None

    @property
    def layer_weights(self) -> int:
        """Linear weights of one layer: q, k, v, o and the three of the gated MLP."""
        return sum(rows * columns for rows, columns in _matrices(self))

    @property
    def parameters(self) -> int:
        """All weights: linear layers, norms, embedding, and the head unless it is the embedding."""
        return self.layers * self.layer_weights + self.small + self._tables

    @property
    def weight_bytes(self) -> float:
        """Memory that the weights take, quantisation scales and zero points included."""
        return self.layers * self.linear_bytes + (self.small + self._tables) * self.dtype_bytes

    @property
    def step_weight_bytes(self) -> float:
        """Weights that one step reads: all but the embedding table, of which it reads single rows."""
        head = self.vocab * self.hidden
        return self.layers * self.linear_bytes + (self.small + head) * self.dtype_bytes

    @property
    def _tables(self) -> int:
        return (1 if self.tied else 2) * self.vocab * self.hidden

    @property
    def kv_bytes_per_token(self) -> float:
        """K and V of one token in all layers: 2 x layers x KV heads x head_dim x bytes."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.kv_dtype_bytes


@dataclass(frozen=True)
class Hardware:
    """Peaks of one accelerator: FLOP/s for the matrix units' dtype, bytes/s of its memory."""

    name: str
    peak_flops: float
    peak_bytes_per_s: float
    memory_bytes: float | None = None
    source: str = ""

    @property
    def ridge(self) -> float:
        """The intensity (FLOP/byte) from which the compute peak, not the bandwidth, is the limit."""
        return self.peak_flops / self.peak_bytes_per_s


@dataclass(frozen=True)
class Step:
    """One forward pass: what it computes and what it moves."""

    tokens: float  # new tokens computed
    flops: float
    bytes: float

    @property
    def intensity(self) -> float:
        """FLOP per byte."""
        return self.flops / self.bytes


def model_of(config: Mapping[str, Any], kv_cache_dtype: str = "auto") -> Model:
    """Read a Hugging Face config.json. Raises UnknownModelError for shapes the formulas do not cover."""
    kind = str(config.get("model_type", "")) or "unnamed"
    if kind not in GATED_DECODERS:
        raise UnknownModelError(f"model_type {kind!r} is not one of the dense decoders that are covered")
    try:
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        layers, intermediate = int(config["num_hidden_layers"]), int(config["intermediate_size"])
        vocab = int(config["vocab_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnknownModelError(f"config.json lacks a usable {error}") from None
    if min(hidden, heads, layers, intermediate, vocab) < 1:
        raise UnknownModelError("config.json holds a size below 1")
    dtype = str(config.get("torch_dtype") or config.get("dtype") or "float16").removeprefix("torch.")
    if dtype not in BYTES_OF_DTYPE:
        raise UnknownModelError(f"dtype {dtype!r} is not known")
    method, bits, group = _quantization(config)
    head_dim = int(config.get("head_dim") or hidden // heads)
    kv_heads = int(config.get("num_key_value_heads") or heads)
    shape = Model(
        name=str(config.get("_name_or_path") or kind),
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=intermediate,
        vocab=vocab,
        tied=bool(config.get("tie_word_embeddings", kind.startswith("gemma"))),
        dtype_bytes=BYTES_OF_DTYPE[dtype],
        linear_bytes=0.0,
        kv_dtype_bytes=1.0 if kv_cache_dtype.startswith("fp8") else BYTES_OF_DTYPE[dtype],
        quantization="none" if method is None else f"{method} {bits} bit",
        small=_norms_and_biases(config, kind, hidden, layers, heads * head_dim, kv_heads * head_dim),
        sliding_window=_window(config),
    )
    linear = sum(
        _linear_bytes(rows, columns, shape.dtype_bytes, method, bits, group)
        for rows, columns in _matrices(shape)
    )
    return replace(shape, linear_bytes=linear)


def _matrices(model: Model) -> list[tuple[int, int]]:
    """The linear layers of one block as (inputs, outputs)."""
    attention, kv = model.heads * model.head_dim, model.kv_heads * model.head_dim
    return [
        (model.hidden, attention),
        (model.hidden, kv),
        (model.hidden, kv),
        (attention, model.hidden),
        (model.hidden, model.intermediate),
        (model.hidden, model.intermediate),
        (model.intermediate, model.hidden),
    ]


def _norms_and_biases(
    config: Mapping[str, Any], kind: str, hidden: int, layers: int, attention: int, kv: int
) -> int:
    """Two norms for each layer and one at the end; Qwen 2 has biases on q, k and v, Qwen 3 norms on q and
    k heads, others biases on all four projections where attention_bias says so."""
    layer = 2 * hidden
    if kind == "qwen2":
        layer += attention + 2 * kv
    elif config.get("attention_bias"):
        layer += attention + 2 * kv + hidden
    if kind == "qwen3":
        layer += 2 * (attention // int(config["num_attention_heads"]))
    return layers * layer + hidden


def _quantization(config: Mapping[str, Any]) -> tuple[str | None, int, int]:
    """(method, bits, group size) of the weights; group size -1 is one group for the whole column."""
    given = config.get("quantization_config")
    if not given:
        return None, 0, -1
    method = str(given.get("quant_method", "")).lower()
    if method in ("awq", "gptq"):
        bits = int(given.get("bits") or given.get("w_bit") or 4)
        return method, bits, int(given.get("group_size") or given.get("q_group_size") or -1)
    if method == "fp8":
        return method, 8, -1
    raise UnknownModelError(
        f"quantisation {method or 'without a name'!r} is not known (awq, gptq and fp8 are)"
    )


def _window(config: Mapping[str, Any]) -> int | None:
    """The sliding window, where every layer uses one (a window on some layers only is not modelled)."""
    window = config.get("sliding_window")
    return int(window) if window and config.get("use_sliding_window", True) else None


def _linear_bytes(
    rows: int, columns: int, dtype_bytes: float, method: str | None, bits: int, group: int
) -> float:
    """Bytes of one linear layer. AWQ and GPTQ store, for each group of inputs and each output, a scale
    of 16 bits and a packed zero point; GPTQ adds a group index of 32 bits for each input."""
    weights = rows * columns
    if method is None:
        return weights * dtype_bytes
    if method == "fp8":
        return weights + 4.0  # one 32-bit scale for the tensor
    groups = -(-rows // group) if group > 0 else 1
    stored = weights * bits / 8 + groups * columns * (2.0 + bits / 8)
    return stored + (4.0 * rows if method == "gptq" else 0.0)


def decode(model: Model, batch: float, context: float) -> Step:
    """One decode step: `batch` sequences get one token each, each attending to `context` tokens."""
    seen = _seen(model, context)
    attention = 4 * model.heads * model.head_dim * model.layers * seen
    flops = batch * (2 * _computed_weights(model) + attention)
    kv = batch * (seen + 1) * model.kv_bytes_per_token
    return Step(batch, flops, model.step_weight_bytes + batch * model.hidden * model.dtype_bytes + kv)


def prefill(model: Model, batch: float, prompt: float) -> Step:
    """One pass over `batch` prompts of `prompt` tokens. A token attends to those before it and itself
    (half of the square); the head runs for the last position only."""
    pairs = prompt * (prompt + 1) / 2
    if model.sliding_window and prompt > model.sliding_window:
        outside = prompt - model.sliding_window
        pairs -= outside * (outside + 1) / 2
    head = model.vocab * model.hidden
    linear = 2 * prompt * model.layers * model.layer_weights + 2 * head
    attention = 4 * model.heads * model.head_dim * model.layers * pairs
    rows = batch * prompt * model.hidden * model.dtype_bytes
    kv = 2 * batch * prompt * model.kv_bytes_per_token  # written, then read by the attention
    return Step(batch * prompt, batch * (linear + attention), model.step_weight_bytes + rows + kv)


def attainable(hardware: Hardware, intensity: float) -> float:
    """FLOP/s = min(peak, intensity x bandwidth)."""
    return min(hardware.peak_flops, intensity * hardware.peak_bytes_per_s)


def shortest(hardware: Hardware, step: Step) -> float:
    """Lower bound of a step's seconds: the longer of its compute time and its memory time."""
    return max(step.flops / hardware.peak_flops, step.bytes / hardware.peak_bytes_per_s)


def memory_bound(hardware: Hardware, step: Step) -> bool:
    """Whether the bandwidth, not the compute peak, sets the bound."""
    return step.intensity < hardware.ridge


def tpot_bound(model: Model, hardware: Hardware, batch: float, context: float) -> float:
    """Lower bound of TPOT in seconds: one decode step."""
    return shortest(hardware, decode(model, batch, context))


def throughput_bound(model: Model, hardware: Hardware, batch: float, context: float) -> float:
    """Upper bound of output tokens/s at this batch: batch / shortest decode step."""
    return batch / tpot_bound(model, hardware, batch, context)


def ttft_bound(model: Model, hardware: Hardware, prompt: float) -> float:
    """Lower bound of TTFT in seconds: the prefill of one prompt on an idle server."""
    return shortest(hardware, prefill(model, 1, prompt))


def largest_batch(model: Model, hardware: Hardware, context: float) -> float | None:
    """Sequences of `context` tokens whose KV cache fits beside the weights (nothing kept for
    activations, so an upper bound); None when the memory is not known."""
    if hardware.memory_bytes is None:
        return None
    free = hardware.memory_bytes - model.weight_bytes
    return max(0.0, free / (_seen(model, context) * model.kv_bytes_per_token))


def _seen(model: Model, context: float) -> float:
    return min(context, model.sliding_window) if model.sliding_window else context


def _computed_weights(model: Model) -> int:
    """Weights that each token is multiplied with: the linear layers and the output head."""
    return model.layers * model.layer_weights + model.vocab * model.hidden

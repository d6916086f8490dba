"""The roofline's counts against published figures, and its bounds against their own definitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.roofline import roofline
from reports.roofline.roofline import Hardware, UnknownModelError, model_of

LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
}
AWQ = LLAMA | {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}
T4 = Hardware("T4", 65e12, 320e9, 16e9)

# Parameter counts as the models' cards give them.
MISTRAL = {"model_type": "mistral", "intermediate_size": 14336, "num_key_value_heads": 8}
QWEN2 = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
QWEN3 = {
    "model_type": "qwen3",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
LLAMA_3_2_1B = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}
GEMMA = {
    "model_type": "gemma",
    "hidden_size": 2048,
    "intermediate_size": 16384,
    "num_hidden_layers": 18,
    "num_attention_heads": 8,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "vocab_size": 256000,
    "tie_word_embeddings": True,
}


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        ({}, 6_738_415_616),
        (MISTRAL, 7_241_732_096),
        (LLAMA_3_2_1B, 1_235_814_400),
        (QWEN2, 494_032_768),
        (QWEN3, 596_049_920),
        (GEMMA, 2_506_172_416),
    ],
)
def test_parameters_are_those_of_the_published_models(changes: dict[str, object], parameters: int) -> None:
    assert model_of(LLAMA | changes).parameters == parameters


def test_weight_bytes_are_the_file_sizes() -> None:
    assert model_of(LLAMA).weight_bytes == pytest.approx(2 * 6_738_415_616)
    assert model_of(AWQ).weight_bytes == pytest.approx(3.89e9, rel=0.002)  # model.safetensors of the AWQ
    gptq = LLAMA | {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}
    assert model_of(gptq).weight_bytes == pytest.approx(3.90e9, rel=0.002)
    whole = LLAMA | {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": -1}}
    assert model_of(whole).weight_bytes < model_of(gptq).weight_bytes
    assert model_of(LLAMA | {"quantization_config": {"quant_method": "fp8"}}).weight_bytes < 7.1e9


def test_kv_cache_counts_kv_heads_and_its_dtype() -> None:
    assert model_of(AWQ).kv_bytes_per_token == 2 * 32 * 4096 * 2
    assert model_of(LLAMA | MISTRAL).kv_bytes_per_token == 2 * 32 * 1024 * 2
    assert model_of(AWQ, "fp8").kv_bytes_per_token == 2 * 32 * 4096


def test_llama_2_7b_awq_on_a_t4() -> None:
    model = model_of(AWQ)
    assert T4.ridge == pytest.approx(203, abs=0.5)
    assert roofline.decode(model, 1, 400).intensity == pytest.approx(3.5, abs=0.1)
    assert roofline.decode(model, 8, 400).intensity == pytest.approx(20.2, abs=0.2)
    assert roofline.memory_bound(T4, roofline.decode(model, 8, 400))
    assert not roofline.memory_bound(T4, roofline.prefill(model, 1, 1000))
    # 3.63 GB of weights and 0.21 GB of cache over 320 GB/s
    assert roofline.tpot_bound(model, T4, 1, 400) == pytest.approx(0.0120, abs=0.0001)


def test_one_step_by_hand() -> None:
    model = model_of(AWQ)
    weights = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
    step = roofline.decode(model, 3, 100)
    assert step.flops == 3 * (2 * (weights + 32000 * 4096) + 4 * 4096 * 32 * 100)
    groups = weights / 128
    read = weights / 2 + groups * 2.5 + (65 * 4096 + 32000 * 4096) * 2
    assert step.bytes == pytest.approx(read + 3 * 4096 * 2 + 3 * 101 * 524_288)
    prompt = roofline.prefill(model, 1, 2)
    assert prompt.flops == 2 * 2 * weights + 2 * 32000 * 4096 + 4 * 4096 * 32 * 3


def test_a_sliding_window_bounds_what_is_attended_to() -> None:
    model = model_of(LLAMA | MISTRAL | {"sliding_window": 64})
    assert roofline.decode(model, 1, 64).flops == roofline.decode(model, 1, 6400).flops
    flops = [roofline.prefill(model, 1, length).flops for length in (64, 65, 66)]
    assert flops[2] - flops[1] == flops[1] - flops[0]  # each further token attends to 64 positions
    assert (
        model_of(LLAMA | QWEN2 | {"sliding_window": 64, "use_sliding_window": False}).sliding_window is None
    )


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"model_type": "mixtral"}, "mixtral"),
        ({}, "unnamed"),
        (LLAMA | {"torch_dtype": "int3"}, "int3"),
        ({"model_type": "llama", "hidden_size": 8}, "num_attention_heads"),
        (LLAMA | {"vocab_size": 0}, "below 1"),
        (LLAMA | {"quantization_config": {"quant_method": "exl2"}}, "exl2"),
    ],
)
def test_what_is_not_covered_is_named(config: dict[str, object], word: str) -> None:
    with pytest.raises(UnknownModelError, match=word):
        model_of(config)


@given(st.floats(1, 512), st.floats(1, 512), st.floats(1, 8192))
def test_bounds_hang_together(small: float, more: float, context: float) -> None:
    model = model_of(AWQ)
    one, two = roofline.decode(model, small, context), roofline.decode(model, small + more, context)
    assert two.intensity > one.intensity
    for step in (one, two):
        assert step.flops / roofline.shortest(T4, step) <= T4.peak_flops * (1 + 1e-9)
        assert roofline.attainable(T4, step.intensity) == pytest.approx(
            step.flops / roofline.shortest(T4, step)
        )
    rates = [roofline.throughput_bound(model, T4, size, context) for size in (small, small + more)]
    assert rates[1] >= rates[0] * (1 - 1e-9)


def test_the_largest_batch_fills_the_memory() -> None:
    model = model_of(AWQ)
    largest = roofline.largest_batch(model, T4, 400)
    assert largest is not None
    assert model.weight_bytes + largest * 400 * model.kv_bytes_per_token == pytest.approx(16e9)
    assert roofline.largest_batch(model_of(LLAMA), Hardware("small", 1e12, 1e11, 1e9), 400) == 0
    assert roofline.largest_batch(model, Hardware("unknown", 1e12, 1e11), 400) is None

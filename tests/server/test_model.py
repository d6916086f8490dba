"""The CPU model: the same bits every time, and a tokenizer whose speakable tokens are one chunk each."""

import errno
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from common.usage import UsageError
from server import corpus, model, shape


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    model.build(place)
    return place


@pytest.fixture(scope="module")
def tokenizer(built: Path) -> Tokenizer:
    return Tokenizer.from_file(str(built / "tokenizer.json"))


@pytest.mark.parametrize("name", model.digests(shape.STANDARD))
def test_the_same_bits_on_every_machine(built: Path, name: str) -> None:
    assert hashlib.sha256((built / name).read_bytes()).hexdigest() == model.digests(shape.STANDARD)[name]


@pytest.mark.parametrize("layers", shape.LAYERS)
def test_each_shape_has_the_same_bits_on_every_machine(tokenizer: Tokenizer, layers: int) -> None:
    weights = save(model.make_weights(model.speakable(tokenizer), layers), metadata={"format": "pt"})
    assert hashlib.sha256(weights).hexdigest() == model.WEIGHTS_DIGESTS[layers]
    assert model.folder(layers) == model.folder() or layers != shape.STANDARD


def test_the_tokenizer_has_exactly_the_vocabulary(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == model.VOCABULARY == model.CONFIG["vocab_size"]
    assert sorted(tokenizer.get_vocab().values()) == list(range(model.VOCABULARY))
    assert [tokenizer.token_to_id(token) for token in model.SPECIAL] == list(range(len(model.SPECIAL)))


def test_each_speakable_token_is_one_chunk_and_one_token_again(tokenizer: Tokenizer) -> None:
    tokens = np.flatnonzero(model.speakable(tokenizer)).tolist()
    assert len(tokens) > model.VOCABULARY / 2
    stream = DecodeStream(skip_special_tokens=True)
    assert all(stream.step(tokenizer, token) for token in tokens)  # "" or None would be no chunk
    texts = [tokenizer.decode([token]) for token in tokens]
    assert len(set(texts)) == len(tokens)
    assert [tokenizer.encode(text).ids for text in texts] == [[token] for token in tokens]


def test_no_special_token_is_speakable(tokenizer: Tokenizer) -> None:
    assert not model.speakable(tokenizer)[: len(model.SPECIAL)].any()


def test_common_words_are_one_token_each(tokenizer: Tokenizer) -> None:
    words = corpus.common_words()
    assert len(words) > 500
    assert [word for word in words if len(tokenizer.encode(f" {word}").ids) != 1] == []


@given(st.text())
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    clean = text
    for special in model.SPECIAL:
        clean = clean.replace(special, "")
    assert tokenizer.decode(tokenizer.encode(clean).ids) == clean


def test_the_weights_have_the_shapes_of_the_configuration(tokenizer: Tokenizer) -> None:
    may_say = model.speakable(tokenizer)
    weights = model.make_weights(may_say)
    config = model.CONFIG
    hidden, heads = config["hidden_size"], config["num_attention_heads"] * config["head_dim"]
    assert weights["model.embed_tokens.weight"].shape == (model.VOCABULARY, hidden)
    assert weights["model.layers.1.self_attn.q_proj.weight"].shape == (heads, hidden)
    assert weights["model.layers.0.mlp.down_proj.weight"].shape == (hidden, config["intermediate_size"])
    assert len(weights) == 3 + config["num_hidden_layers"] * 9
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(array).all() for array in weights.values())
    rows = np.abs(weights["lm_head.weight"]).sum(axis=1) > 0
    assert (rows == may_say).all()
    spread = weights["model.layers.0.mlp.up_proj.weight"].std() * np.sqrt(hidden)
    assert spread == pytest.approx(1, rel=0.02)


def test_the_chat_template_marks_each_message(built: Path) -> None:
    config = json.loads((built / "tokenizer_config.json").read_text())
    assert config["chat_template"] == model.CHAT_TEMPLATE
    assert json.loads((built / "config.json").read_text()) == model.CONFIG


def test_it_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path))
    place = model.ensure()
    assert place == model.folder()
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    monkeypatch.setattr(model, "build", lambda place, layers: pytest.fail("built again"))
    assert model.ensure() == place


def test_other_bits_are_an_error_and_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(place: Path, layers: int) -> None:
        for name in [*model.digests(layers), "config.json"]:
            (place / name).write_text("other")

    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path))
    monkeypatch.setattr(model, "build", build)
    with pytest.raises(UsageError, match="model.safetensors came out with sha256 .* requirements.txt"):
        model.ensure()
    assert list((tmp_path / "models").iterdir()) == []


def test_a_disk_that_is_full_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(place: Path, layers: int) -> None:
        (place / "tokenizer.json").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path))
    monkeypatch.setattr(model, "build", build)
    with pytest.raises(UsageError, match="the model cannot be built there: No space left on device"):
        model.ensure()
    assert list((tmp_path / "models").iterdir()) == []


def test_another_recipe_has_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = model.folder()
    monkeypatch.setitem(model.CONFIG, "hidden_size", 2 * model.CONFIG["hidden_size"])
    assert model.folder() != before


@given(st.integers(0, 300))
def test_invented_words_are_new_and_differ(count: int) -> None:
    words = corpus.invented_words(count)
    assert len(set(words)) == len(words) == count
    assert not set(words) & set(corpus.common_words())
    assert all(word.isascii() and word.isalpha() for word in words)

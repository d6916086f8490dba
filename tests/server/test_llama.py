"""The GPU model that nothing is downloaded for: as many tokens as Llama-2's."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from server import llama
from server.deployment import read_deployment

TARGET = "h200-llama2-7b-awq-random"


def test_it_is_built_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path))
    command = read_deployment("optimized", TARGET, 8000).command()
    place = llama.ensure()
    assert command.model == str(place) and command.served_model == llama.NAME
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == llama.CONFIG["vocab_size"] == 32_000
    text = "the engineers measured a server"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert json.loads((place / "tokenizer_config.json").read_text())["model_max_length"] == 4096
    made = (place / "config.json").stat().st_mtime_ns
    assert llama.ensure() == place and (place / "config.json").stat().st_mtime_ns == made

"""Variants from a few words: their names, their flags, what is no grid."""

import re
from pathlib import Path

import pytest

from campaign.grid import BASELINE, axis, points, variants_of
from common.usage import UsageError
from server.variants import apply, read_variant
from tokenswarm.__main__ import parse


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path))


def test_each_combination_is_a_variant_with_a_name_and_a_file() -> None:
    words = ["sweep", "--grid", "--max-num-seqs=8,16", "--max-num-batched-tokens=512,2048", "--rps", "5"]
    found = variants_of(parse(words))
    assert found[0] == BASELINE and len(found) == 5
    assert [Path(path).stem for path in found[1:]] == [
        "seqs-8-batched-tokens-512",
        "seqs-8-batched-tokens-2048",
        "seqs-16-batched-tokens-512",
        "seqs-16-batched-tokens-2048",
    ]
    last = read_variant(found[-1])
    assert apply(["--max-num-seqs 4"], last) == [
        ["--max-num-seqs", "16"],
        ["--max-num-batched-tokens", "2048"],
    ]
    assert last.changes == "--max-num-seqs 16 --max-num-batched-tokens 2048, added to the target's command"


def test_named_variants_come_first_and_the_grid_ends_at_the_next_option() -> None:
    given = parse(["compare", "batch-8", "--grid", "--enforce-eager", "--kv-cache-dtype=fp8", "--seed", "3"])
    assert given.seed == "3"
    assert [Path(each).stem for each in variants_of(given)] == [
        "batch-8",
        "kv-cache-dtype-fp8",
        "enforce-eager-kv-cache-dtype-fp8",
    ]
    assert variants_of(parse(["sweep", "a", "b"])) == ["a", "b"]


def test_names_stay_apart() -> None:
    """--max-x and --num-x are both x when they are short."""
    found = points([axis("--max-x=1,2"), axis("--num-x=1,2")])
    assert len(found) == 4 and "max-x-1-num-x-2" in found
    assert set(points([axis("--max-x"), axis("--num-x")])) == {"max-x", "num-x", "max-x-num-x"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["optimized"], "--grid optimized: write --flag=value,value; variants stand before --grid"),
        (["--a=1,1"], "a value is empty or named twice"),
        (["--a=1,"], "a value is empty or named twice"),
        (["--a=1", "--a=2"], "--a is named twice"),
        (['--a={"b":1}'], "JSON is no list of values"),
        (["--port=1,2"], "--port"),
        (["--a=1/2,1-2"], "two combinations have one name"),
        ([f"--{name}=1,2,3,4" for name in "abcd"], "256 combinations; at most 200"),
    ],
)
def test_what_is_no_grid_is_one_line(words: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        points([axis(word) for word in words])

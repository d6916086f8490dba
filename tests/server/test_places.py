"""What each of two servers on one machine gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.usage import UsageError
from server import cores, gpu, places
from server.command import Command
from server.cores import halves
from server.deployment import Deployment
from server.places import Place, deal
from server.targets import read_target
from server.variants import Variant


def deployment(name: str, *flags: str, port: int = 8000, **environment: str) -> Deployment:
    variant = Variant(changes="a", expected="b", add=list(flags), environment=environment)
    return Deployment(name, "h100-qwen2.5-7b", variant, read_target("h100-qwen2.5-7b"), port)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.booleans())
def test_no_card_is_both_servers_and_they_change_hands(one: int, two: int, more: int, swapped: bool) -> None:
    there = [str(card) for card in range(one + two + more)]
    dealt = deal([one, two], there, swapped)
    assert [len(cards) for cards in dealt] == [one, two] and not set(dealt[0]) & set(dealt[1])
    assert ("0" in dealt[1]) == swapped


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ([], 1),
        (["--tensor-parallel-size", "2"], 2),
        (["--tensor_parallel_size=2", "-dp", "3"], 6),
        (["-pp", "2", "-tp", "x"], 2),
    ],
)
def test_a_servers_cards_are_counted_by_its_flags(words: list[str], count: int) -> None:
    assert Command(["python", "-m", "vllm", *words], {}).gpus == count


def test_each_server_sees_its_own_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_names", lambda: ["NVIDIA H200"] * 3)
    monkeypatch.delenv(gpu.VISIBLE, raising=False)
    pair = [deployment("one"), deployment("two", "--tensor-parallel-size 2", port=8001)]
    found = places.places(pair, None, swapped=False)
    assert found == [Place(8000, ("0",)), Place(8001, ("1", "2"))]
    assert [str(each) for each in found] == ["GPU 0", "GPU 1, 2"]
    turned = places.places(pair, None, swapped=True)
    assert [each.environment[gpu.VISIBLE] for each in turned] == ["2", "0,1"]
    monkeypatch.setenv(gpu.VISIBLE, " 5, 7")
    with pytest.raises(UsageError, match=r"take 1 \+ 2 GPUs, and there are 2; leave it out"):
        places.places(pair, None, swapped=False)
    pinned = places.places([pair[0], pair[0]], None, swapped=False)
    assert [each.cards for each in pinned] == [("5",), ("7",)]


def test_a_variant_that_chooses_its_cards_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_names", lambda: ["NVIDIA H200"] * 2)
    pair = [deployment("one"), deployment("two", port=8001, CUDA_VISIBLE_DEVICES="1")]
    with pytest.raises(UsageError, match="two sets CUDA_VISIBLE_DEVICES"):
        places.places(pair, None, swapped=False)


@given(st.integers(2, 9), st.integers(1, 2))
def test_halves_are_alike(cores: int, threads: int) -> None:
    one, two = halves([[core + cores * thread for thread in range(threads)] for core in range(cores)])
    assert len(one) == len(two) == threads * (cores // 2) and not set(one) & set(two)


def test_a_half_that_is_too_small_to_be_split_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "siblings", lambda cpus: [[0], [1]])
    assert places._cores(None) == [(0,), (1,)]
    with pytest.raises(UsageError, match="half of the cores are 1, and with --pin 1 workers and a server"):
        places._cores(1)

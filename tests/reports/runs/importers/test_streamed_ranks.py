"""Numbers of given ranks in a stream are those of the sorted whole."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.runs.importers import definitions, streamed_ranks
from reports.runs.importers.number_lists import NumberLists
from reports.runs.importers.streamed_ranks import values_at
from reports.runs.runs import Floats

TIED = st.sampled_from([0.0, 0.02, 0.02000001, 1.0])
NUMBERS = st.lists(st.one_of(TIED, st.floats(-1e3, 1e3)), min_size=1, max_size=60)


@given(numbers=NUMBERS, ordered=st.booleans(), cut=st.integers(1, 7), reach=st.sampled_from([0.0, 5.0]))
def test_they_are_those_of_the_sorted_whole(
    numbers: list[float], ordered: bool, cut: int, reach: float
) -> None:
    """Also where the sample misleads: it is small, and reaches nowhere."""
    whole = np.array(sorted(numbers) if ordered else numbers)

    def parts() -> Iterator[Floats]:
        yield from np.array_split(whole, cut)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(streamed_ranks, "SAMPLE", 5)
        patched.setattr(streamed_ranks, "REACH", reach)
        found = values_at(range(len(whole)), len(whole), parts)
    assert found == sorted(numbers)


@given(
    lists=st.lists(st.lists(st.floats(0, 10), max_size=5), min_size=1, max_size=12),
    rule=st.sampled_from(definitions.RULES),
    data=st.data(),
)
def test_pooled_figures_are_numpys(
    lists: list[list[float]], rule: definitions.Rule, data: st.DataObject
) -> None:
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(lists), max_size=len(lists))))
    found = definitions.pooled("itl", NumberLists(map(np.array, lists)), kept, rule)
    flat = np.array([value for each, good in zip(lists, kept, strict=True) if good for value in each])
    assert found == pytest.approx(definitions.statistics({"itl": flat}, rule), rel=1e-9, abs=1e-12)

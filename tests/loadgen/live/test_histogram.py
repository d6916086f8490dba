"""Live percentiles from counts in buckets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.live.histogram import Digest

durations = st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=300)


@given(values=durations, share=st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_digest_knows_percentiles_to_a_hundredth(values: list[float], share: float) -> None:
    one, other = Digest(), Digest()
    one.extend(np.array(values[::2]))
    for value in values[1::2]:
        other.add(value)
    one.merge(other.take())
    assert one.count == len(values) and other.count == 0
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert one.percentile(share) == pytest.approx(exact, rel=0.011)


def test_an_empty_digest_has_no_percentile() -> None:
    assert Digest().percentile(0.5) is None

"""Durations that are counted by size are read as an array of them is, to 2 parts in 100,000."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.metrics import folded
from reports.metrics.folded import Folded, Gathered
from reports.metrics.survival import Survival

CLOSE = 2e-5
SECONDS = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e4)), min_size=1, max_size=200)


def gathered(seconds: list[float], exactly: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]] | Folded":
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(folded, "EXACTLY", exactly)
        found = Gathered(len(seconds))
        for part in np.array_split(np.array(seconds), 3):
            found.add(part)
        return found.ascending()


@given(seconds=SECONDS, censored=st.lists(st.floats(0, 1e4), max_size=5), never=st.integers(0, 3))
def test_what_is_counted_reads_like_what_is_kept(
    seconds: list[float], censored: list[float], never: int
) -> None:
    kept, counted = gathered(seconds, len(seconds)), gathered(seconds, 0)
    assert isinstance(counted, Folded) and not isinstance(kept, Folded)
    assert np.asarray(counted) == pytest.approx(kept, rel=CLOSE)
    assert len(counted) == len(seconds) and counted.mean() == pytest.approx(kept.mean(), rel=CLOSE)
    ranks = np.arange(len(seconds))
    assert counted[ranks] == pytest.approx(kept, rel=CLOSE) and counted[0] == pytest.approx(
        kept[0], rel=CLOSE
    )
    for side in ("left", "right"):
        assert counted.searchsorted(kept[0] * 2 + 1, side) == kept.searchsorted(kept[0] * 2 + 1, side)
    open_ = np.sort(np.array(censored)) * (1 + 1e-3) + 1e-9
    one, other = (Survival(known, open_, never) for known in (kept, counted))
    for share in (0.1, 0.5, 0.99):
        before, after = one.percentile(share), other.percentile(share)
        assert (before.value is None) == (after.value is None)
        if before.value is not None and not len(open_):
            assert after.value == pytest.approx(before.value, rel=CLOSE)


def test_none_is_none() -> None:
    assert len(Gathered(2 * folded.EXACTLY).ascending()) == 0

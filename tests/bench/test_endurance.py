"""The judgement of a soak's memory, on made-up looks."""

import numpy as np
import pandas as pd
import pytest

from bench.endurance import curve, soak_of
from common.usage import UsageError


def looks(worker_grows: float, master_grows: float) -> pd.DataFrame:
    """Of 180 s; each part grows by that share of what it has after a minute, evenly from then on."""
    times = np.linspace(-5.0, 190.0, 780)
    later = np.clip((times - 60) / 120, 0, 1)
    parts = {"worker": 90e6 * (1 + worker_grows * later), "master": 120e6 * (1 + master_grows * later)}
    return pd.DataFrame({"t": times, **parts})


@pytest.mark.parametrize(
    ("worker", "master", "flat"), [(0.0, 0.0, True), (0.15, 0.1, True), (0.3, 0.0, False), (0.0, 0.3, False)]
)
def test_what_grows_by_more_than_the_bound_is_not_flat(worker: float, master: float, flat: bool) -> None:
    soak = soak_of(looks(worker, master), 0.0, 180.0, faster=10.0)
    assert soak.growth("worker") == pytest.approx(worker, abs=0.01)
    assert soak.growth("master") == pytest.approx(master, abs=0.01)
    assert soak.flat() is flat
    lines = curve(soak, per_second=20.0).splitlines()
    assert lines[-1].startswith("| 30 | 35,997 | ") and len(lines) == 14


def test_a_short_soak_is_not_judged() -> None:
    with pytest.raises(UsageError, match="too short to judge: it takes 120 s"):
        soak_of(looks(0.0, 0.0), 0.0, 100.0, faster=10.0)

"""In what the GPUs of two variants' runs differed: heat in one of them alone, or clocks."""

from collections.abc import Sequence

import numpy as np

from reports.document.schema import Difference
from reports.metrics.gpus import Clocks, clocks
from reports.runs.runs import Run
from reports.verdict.rules.gpu import HEAT_SHARE


def differences(baseline: Sequence[Run], other: Sequence[Run], minimum_effect: float) -> list[Difference]:
    """Where heat held the clocks of one side alone nothing can be compared; clocks that differ by more than
    the fraction `minimum_effect` are a caution: a variant that works more may reach the power limit."""
    names = [side[0].manifest.variant for side in (baseline, other)]
    seen = [[found for run in side if (found := clocks(run)) is not None] for side in (baseline, other)]
    if not all(seen):
        return []
    hot = [max(each.heat for each in side) for side in seen]
    if (hot[0] > HEAT_SHARE) != (hot[1] > HEAT_SHARE):
        values = {name: f"{100 * heat:.0f} % of the readings" for name, heat in zip(names, hot, strict=True)}
        shown = ", ".join(f"{value} ({name})" for name, value in values.items())
        text = f"clocks held down by heat or a power brake: {shown}; the change may come from that alone"
        return [Difference(condition="GPU throttled", values={**values}, comparable=False, text=text)]
    hertz = [_mean(side) for side in seen]
    if hertz[0] is None or hertz[1] is None or abs(hertz[1] / hertz[0] - 1) <= minimum_effect:
        return []
    values = {name: f"{each / 1e6:,.0f} MHz" for name, each in zip(names, hertz, strict=True) if each}
    limits = [float(np.mean([each.power_limit for each in side])) for side in seen]
    shown = ", ".join(f"{value} ({name})" for name, value in values.items())
    shares = " and ".join(f"{100 * each:.0f} %" for each in limits)
    text = f"GPU clock while busy: {shown}; at the power limit in {shares} of the readings"
    return [Difference(condition="GPU clock", values={**values}, comparable=True, text=text)]


def _mean(side: Sequence[Clocks]) -> float | None:
    known = [each.hertz for each in side if each.hertz is not None]
    return float(np.mean(known)) if known else None

"""Which of several variants is the best under the SLO, as far as their runs tell. Pure logic.

One leads by its figures so far, and every other is held to it: first by SLO attainment; where it attains no
more, by the figure that is raced for. Who is shown worse is beaten, and out for good (racing: Maron and
Moore, NIPS 6 (1994) 59-66). Whoever leads is chosen from the same figures, so the claims of all pairs at all
looks share the 5 % (Bonferroni's inequality, as in `looks`). Then any wrong drop or last word comes in at
most 5 % of races.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reports.comparison import claims
from reports.comparison.changes import change, settle
from reports.comparison.pairs import Pair
from reports.document.lookup import SLO_SHARE
from reports.document.metric import Change
from reports.document.run import UNUSABLE
from reports.metrics import catalogue
from reports.metrics.catalogue import HEADLINE, ROW, Row
from reports.runs.index import Entry
from reports.runs.runs import Run
from reports.text import formatting

# beaten: shown worse. level: no better by an effect that matters. open: neither is shown.
Standing = Literal["beaten", "level", "open"]
FIGURES = (*HEADLINE, "ttft_p99", "output_token_throughput")  # that can be raced for
USUAL = "latency_p50"
ATTAINMENT = ROW["slo_attainment"]


@dataclass(frozen=True)
class Rival:
    """One variant against the leader, and the figure that decided it or leaves it open."""

    standing: Standing
    row: Row
    change: Change

    @property
    def text(self) -> str:
        """'latency p50 +23.0 % (+15.1 to +31.9 %)'"""
        name = self.row.label
        if self.change.mark == "not comparable":
            return f"{name} not comparable: {self.change.reason}"
        return f"{name} {self.change.display} ({self.change.display_interval})"


@dataclass(frozen=True)
class Race:
    """How it stands: who leads, and each other that is not out yet."""

    by: Row
    leader: str
    rivals: Mapping[str, Rival]
    attainment: float | None  # of the leader
    share: float | None  # that the SLO asks for

    @property
    def beaten(self) -> list[str]:
        return [name for name, rival in self.rivals.items() if rival.standing == "beaten"]

    @property
    def decided(self) -> bool:
        return all(rival.standing != "open" for rival in self.rivals.values())


def pairs(variants: int) -> int:
    """Of so many variants; so many claims stand to be made at each look."""
    return max(variants * (variants - 1) // 2, 1)


def race(
    groups: Mapping[str, list[Run]],
    verdicts: Mapping[str, str],
    by: Row,
    minimum_effect: float,
    looks: float,
    known: Sequence[Entry] = (),
) -> Race:
    """How it stands after these runs. `groups`: of the variants that are not out; `verdicts` by run; `looks`:
    all looks of all pairs; `known`: as in `settle`."""
    slo = next(iter(groups.values()))[0].manifest.scenario.get("slo")
    share = float(slo.get("share", SLO_SHARE)) if slo else None
    figures = [(by, minimum_effect)]
    if share is not None:  # what matters of attainment is what the SLO lets miss
        figures.insert(0, (ATTAINMENT, min(minimum_effect, 1 - share)))
    sound = [name for name, runs in groups.items() if all(verdicts[run.name] not in UNUSABLE for run in runs)]
    first = _leader({name: groups[name] for name in sound or groups}, figures)
    rivals = {}
    for other in groups:
        if other != first:
            pair, _ = settle(first, other, groups, verdicts, minimum_effect, known=known, looks=looks)
            rivals[other] = _held(pair, figures)
    return Race(by, first, rivals, None if share is None else _value(ATTAINMENT, groups[first]), share)


def last_word(found: Race, out: Collection[str], minimum_effect: float) -> str:
    """What the race came to, in one line. `out`: who was beaten before."""
    beaten = [*out, *found.beaten]
    left = {name: rival for name, rival in found.rivals.items() if rival.standing != "beaten"}
    by, others = f"by {found.by.label}", f"{len(beaten)} shown beaten"
    sure = f"{100 * (1 - claims.FALSE_CLAIMS):.0f} % confidence over all pairs and looks"
    if not left:
        told = f"{found.leader} is best {by} ({others}; {sure})"
    elif found.decided:
        rest = f"{formatting.listed(list(left))} no better by more" + (f", {others}" if beaten else "")
        told = f"{found.leader} is within {100 * minimum_effect:g} % of the best {by} ({rest}; {sure})"
    else:
        open_ones = [f"{name}: {each.text}" for name, each in left.items() if each.standing == "open"]
        told = f"not decided: {found.leader} leads {by}, but against it {'; '.join(open_ones)}"
    if found.share is None or found.attainment is None or found.attainment >= found.share:
        return told
    met = f"{100 * found.attainment:.1f} % of arrivals met the SLO of {100 * found.share:g} %"
    return f"{told}; under {found.leader} {met}"


def _leader(groups: Mapping[str, list[Run]], figures: Sequence[tuple[Row, float]]) -> str:
    """Whose figures are the best; those as good to within the effect that matters leave it to the next."""
    left = list(groups)
    for row, effect in figures[:-1]:
        most = max(_value(row, groups[name]) or 0.0 for name in left)
        left = [name for name in left if (_value(row, groups[name]) or 0.0) >= most * (1 - effect)]
    last = figures[-1][0]
    return min(left, key=lambda name: _cost(last, groups[name]))


def _value(row: Row, runs: Sequence[Run]) -> float | None:
    value, bound = claims.value_of([catalogue.figure(run, row) for run in runs])
    return bound if value is None else value


def _cost(row: Row, runs: Sequence[Run]) -> float:
    value = _value(row, runs)
    if value is None:
        return math.inf
    return -value if row.better == "higher" else value


def _held(pair: Pair, figures: Sequence[tuple[Row, float]]) -> Rival:
    """The variant against the leader: the first figure that it is worse in, or that leaves it open."""
    for row, effect in figures:
        found = change(row, replace(pair, setting=replace(pair.setting, minimum_effect=effect)))
        if found.mark == "worse":
            return Rival("beaten", row, found)
        if found.mark not in ("no difference shown", "unstable") or not _no_better(row, found, effect):
            return Rival("open", row, found)
    return Rival("level", row, found)


def _no_better(row: Row, found: Change, effect: float) -> bool:
    """Whether it is shown to be no better by more than the effect; it may be much worse."""
    bound = found.high if row.better == "higher" else found.low
    return bound is not None and (bound <= effect if row.better == "higher" else bound >= -effect)

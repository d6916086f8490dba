"""After each repeat: is every claim decided, or can it not be with the repeats that are left? Pure logic.

Who looks N times, and stops at what pleases him, claims what is not there up to N times as often. So the
looks share the false claims that all together may make (Bonferroni's inequality; the general case: Lan and
DeMets, Biometrika 70 (1983) 659-663). Those before the last have a tenth of them together. What is plain is
seen all the same, and the last look claims nearly what it would alone (Haybittle, Brit. J. Radiol. 44 (1971)
793-797; Peto et al., Brit. J. Cancer 34 (1976) 585-612). The bound holds however the looks hang together, and
whatever the rule that ends them early.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from reports.comparison.changes import change, settle
from reports.document.metric import Change
from reports.document.run import UNUSABLE
from reports.metrics.catalogue import HEADLINE, ROW
from reports.runs.index import Entry
from reports.runs.runs import Run
from reports.text import formatting

# shown: better or worse. within: no difference that matters. hopeless: the repeats left will not decide it.
Standing = Literal["shown", "within", "hopeless", "open"]
EARLY = 0.1  # of the false claims: what all looks before the last may make
SERVED = ROW["completed_rate"]
ROWS = tuple(ROW[name] for name in HEADLINE)  # what a comparison is asked about, beside who serves less


def sharing(look: int, most: int) -> float:
    """Among how many looks the false claims would be shared, had each as many as this one (from 1)."""
    if most == 1:
        return 1.0
    return 1 / (1 - EARLY) if look >= most else (most - 1) / EARLY


def standing(found: Change, minimum_effect: float, most: int) -> Standing:
    """Of one figure. `most`: repeats of each variant at the most."""
    if found.mark in ("better", "worse"):
        return "shown"
    if found.mark == "unstable":
        return "open"
    bounds = found.low, found.high
    if all(bound is not None and abs(bound) <= minimum_effect for bound in bounds):
        return "within"
    return "open" if found.more_runs is not None and found.more_runs <= most else "hopeless"


def look(
    groups: Mapping[str, list[Run]],
    verdicts: Mapping[str, str],
    minimum_effect: float,
    looks: tuple[int, int],
    known: Sequence[Entry] = (),
) -> dict[str, list[Standing]]:
    """What each variant's figures say against the first's, by variant. `looks`: the how-manieth of how many.

    `groups`: each variant's runs so far, the baseline first; `verdicts` by run; `known`: as in `settle`. Of
    one that is shown to serve less or more nothing else is open: that decides, and a figure of whom it served
    is no claim.
    """
    first, *others = groups
    found: dict[str, list[Standing]] = {}
    for other in others:
        pair, _ = settle(first, other, groups, verdicts, minimum_effect, known=known, looks=sharing(*looks))
        broken = any(verdicts[run.name] in UNUSABLE for run in (*groups[first], *groups[other]))
        rows = [standing(change(row, pair), minimum_effect, looks[1]) for row in (SERVED, *ROWS)]
        rows = rows[:1] if rows[0] == "shown" else rows
        found[other] = ["open" for _ in rows] if broken else rows
    return found


def ended(
    found: Mapping[str, Sequence[Standing]], repeats: int, most: int, give_up: bool = True
) -> str | None:
    """Why no further repeat is needed, in one line; None while one may decide something, or, unless it is to
    `give_up`, while anything is not decided."""
    every = [each for rows in found.values() for each in rows]
    if repeats >= most or "open" in every or ("hopeless" in every and not give_up):
        return None
    told = f"stopped after {repeats} of {most} repeats: "
    hopeless = [name for name, rows in found.items() if "hopeless" in rows]
    if not hopeless:
        return f"{told}every claim is decided"
    return f"{told}what is open of {formatting.listed(hopeless)} would take more than {most} repeats"

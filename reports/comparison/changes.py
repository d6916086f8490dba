"""What changes from the baseline to a variant, and what decides which of it may be claimed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reports.comparison import claims, comparability, gpus, served_only, stopped
from reports.comparison.pairs import Pair, pair_up
from reports.document.metric import Change
from reports.document.schema import Difference
from reports.metrics import catalogue, request_metrics
from reports.metrics.catalogue import ROW, Row
from reports.runs.index import Entry
from reports.runs.runs import Run


def settle(
    baseline: str,
    other: str,
    groups: Mapping[str, list[Run]],
    verdicts: Mapping[str, str],
    minimum_effect: float,
    floors: Mapping[str, float] = claims.FLOORS,
    known: Sequence[Entry] = (),
    looks: float = 1,
) -> tuple[Pair, list[Difference]]:
    """The pair of two variants with all that its claims depend on, and in what their loads differ as they
    came. `verdicts` by run; `known`: the runs of the results folder; `looks`: how often this
    comparison is looked at, so that all looks together keep the share of false claims."""
    both = [*groups[baseline], *groups[other]]
    end = stopped.end_of(both)
    if end is not None:
        groups = {name: [run.until(end) for run in groups[name]] for name in (baseline, other)}
    pair = pair_up(baseline, other, groups, verdicts, minimum_effect, known, claims.level(looks))
    if end is not None:
        told = f"{pair.method.text} {stopped.text(both, end)}"
        pair = replace(pair, stopped=end, method=pair.method.model_copy(update={"text": told}))
    found = [
        *comparability.differences(pair.baseline, pair.other, minimum_effect),
        *gpus.differences(pair.baseline, pair.other, minimum_effect),
    ]
    return _by_effect(_of_one_load(pair, found), floors), found


def change(row: Row, pair: Pair) -> Change:
    """The change of one figure, with its interval and mark."""
    repeats = [[catalogue.figure(run, row) for run in group] for group in (pair.baseline, pair.other)]
    in_pairs = pair.method.kind == "runs in pairs"
    found = claims.estimate(
        row,
        pair.baseline,
        pair.other,
        pair.blocks,
        in_pairs,
        growing=pair.setting.growing,
        spread=pair.spread,
        drifts=pair.drifts,
        confidence=pair.setting.confidence,
    )
    untold = next((why for run in (*pair.baseline, *pair.other) if (why := catalogue.untold(run, row))), None)
    untold = untold or stopped.untold(row, pair.stopped)
    why = pair.setting.incomparable if untold is None else untold
    if few := thin(row, (*pair.baseline, *pair.other)):  # of a figure that is not given no change is either
        found = claims.Estimate(None)
    return claims.claim(row, found, repeats, replace(pair.setting, incomparable=why or few))


def thin(row: Row, runs: Sequence[Run]) -> str | None:
    """Why a percentile rests on too little in one of the runs, or None."""
    for run in runs if row.share is not None else ():
        found = catalogue.figure(run, row)
        if (least := request_metrics.thin(found, row.share or 0.0)) is not None:
            return f"not given: {found.count} in {run.name}, {least} needed"
    return None


def _by_effect(pair: Pair, floors: Mapping[str, float]) -> Pair:
    """The pair with who serves less and who was never served: what decides which claims may be made."""
    setting = replace(pair.setting, floors=floors, unserved=served_only.unserved(pair.baseline, pair.other))
    pair = replace(pair, setting=setting)
    less = {"worse": setting.other, "better": setting.baseline}
    mark = change(ROW["completed_rate"], pair).mark
    return replace(pair, setting=replace(setting, serves_less=less.get(mark)))


def _of_one_load(pair: Pair, found: Sequence[Difference]) -> Pair:
    """The pair; without a claim where its loads differ. A broken run is named for what broke it."""
    if pair.setting.incomparable:
        return pair
    return replace(pair, setting=replace(pair.setting, incomparable=comparability.apart(found)))

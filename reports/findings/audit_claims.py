"""Each claim of another tool, held against what the records of its file give."""

import math
from collections.abc import Sequence

from reports.document.audit import ClaimCheck, Outcome
from reports.document.metric import Change, Metric, Reading
from reports.document.schema import Comparison
from reports.metrics import request_metrics
from reports.metrics.catalogue import ROWS
from reports.runs.importers.imported import Claim, Imported
from reports.runs.runs import Run
from reports.text import formatting
from reports.text.formatting import NOT_GIVEN

LOADS_DIFFER = "the loads differ, so it is no effect of the server"
HEADLINE = ("output_token_throughput", "completed_rate", "latency_p50", "ttft_p50", "tpot_p50")


def check_claims(
    found: Sequence[Imported], runs: Sequence[Run], comparison: Comparison, apart: str | None = None
) -> list[ClaimCheck]:
    """The changes of the second file against the first, if there are two; then the figures of each.

    `apart`: in what the loads of the two differ, so that no change follows for what was served.
    """
    rows = {metric.name: metric for metric in comparison.metrics}
    variants = [variant.name for variant in comparison.variants]
    checks = []
    if len(found) == 2:
        first = {claim.row: claim for claim in found[0].claims}
        for claim in found[1].claims:
            if claim.row in rows and claim.row in first and first[claim.row].value > 0:
                metric, before = rows[claim.row], first[claim.row]
                checks.append(
                    _check_change(before, claim, metric, comparison.minimum_effect, variants, apart)
                )
    for variant, each, run in zip(variants, found, runs, strict=True):
        for claim in each.claims:
            if claim.row in rows:
                between = neighbours(run, claim.row)
                checks.append(
                    _check_value(claim, rows[claim.row], variant, comparison.minimum_effect, between)
                )
    return checks


def neighbours(run: Run, name: str) -> tuple[float, float] | None:
    """The two observations that a percentile lies between, of which most tools give a weighted mean.

    Ours is an observation itself (docs/metrics.md); of few requests the two differ much. None where it is
    no percentile, or where one of them was not seen to its end.
    """
    row = next(each for each in ROWS if each.name == name)
    if row.metric is None or row.share is None or row.metric in run.limits.figures:
        return None
    found = request_metrics.survival(run, row.metric)
    if not found.count or len(found.known) < found.count:
        return None
    place = row.share * (found.count - 1)
    return float(found.known[math.floor(place)]), float(found.known[math.ceil(place)])


def reading_of(metric: Metric, variant: str) -> Reading:
    """The metric's reading of that variant."""
    return next(each for each in metric.readings if each.variant == variant)


def _check_value(
    claim: Claim, metric: Metric, variant: str, minimum_effect: float, between: tuple[float, float] | None
) -> ClaimCheck:
    reading = reading_of(metric, variant)
    outcome, reason = _judge_value(claim.value, reading, metric, minimum_effect)
    if outcome == "not supported" and between and between[0] <= claim.value <= between[1]:
        low, high = (formatting.number(value, metric.display_unit) for value in between)
        outcome = "supported"
        reason = f"interpolated between the neighbours {low} and {high} {metric.display_unit}"
        reason += f"; of {reading.count:,} these lie far apart"
    return ClaimCheck(
        variant=variant,
        metric=metric.name,
        label=metric.label,
        field=claim.field,
        display_unit=metric.display_unit,
        claimed=claim.value,
        claimed_display=formatting.number(claim.value, metric.display_unit),
        supported=reading.value,
        supported_display=_shown(reading, metric),
        outcome=outcome,
        reason=reason,
    )


def _shown(reading: Reading, metric: Metric) -> str:
    """Of too few requests the percentile is the tool's claim all the same: '88.0 (of 16)'."""
    if reading.display != NOT_GIVEN:
        return reading.display
    return (
        f"{formatting.number(reading.value, metric.display_unit, reading.lower_bound)} (of {reading.count:,})"
    )


def _judge_value(
    claimed: float, reading: Reading, metric: Metric, minimum_effect: float
) -> tuple[Outcome, str]:
    if reading.value is None:
        if reading.lower_bound is None:
            return "cannot tell", "the file cannot tell it"
        if claimed < reading.lower_bound * (1 - minimum_effect):
            return "not supported", "over all requests it is longer than that, by how much is not known"
        return "cannot tell", "too few requests finished to name it"
    if metric.unit == "requests":
        apart = claimed - reading.value
        return (
            ("supported", "the same")
            if apart == 0
            else ("not supported", f"{apart:+.0f} against the records")
        )
    if reading.value == 0:
        return ("supported", "the same") if claimed == 0 else ("not supported", "the records give 0")
    off = claimed / reading.value - 1
    if abs(off) <= minimum_effect:
        return "supported", f"within {formatting.percent(minimum_effect).lstrip('+')} of the records"
    return "not supported", f"{formatting.percent(off)} against the records"


def _check_change(
    before: Claim, after: Claim, metric: Metric, minimum_effect: float, variants: list[str], apart: str | None
) -> ClaimCheck:
    claimed = after.value / before.value - 1
    change = next(each for each in metric.changes if each.variant == variants[1])
    readings = [reading_of(metric, variant) for variant in variants]
    if apart:
        outcome, reason = _judge_apart(claimed, readings, minimum_effect)
    else:
        outcome, reason = _judge_change(claimed, change, readings, metric, minimum_effect)
    return ClaimCheck(
        variant=f"{variants[1]} against {variants[0]}",
        metric=metric.name,
        label=metric.label,
        field=f"change of {after.field}",
        display_unit="",
        claimed=claimed,
        claimed_display=formatting.percent(claimed),
        supported=change.change,
        supported_display=change.display,
        outcome=outcome,
        reason=reason,
    )


def _judge_apart(claimed: float, readings: list[Reading], minimum_effect: float) -> tuple[Outcome, str]:
    """A change between two loads: a matter of their figures, and no effect of the server.

    Each of the two figures may be off by the minimum effect size, so their ratio by twice that.
    """
    before, after = (each.value for each in readings)
    if not before or after is None:
        return "cannot tell", f"{LOADS_DIFFER}; the records do not name both figures"
    given = after / before - 1
    if abs((1 + given) / (1 + claimed) - 1) <= 2 * minimum_effect:
        return "supported", f"the records give {formatting.percent(given)}; {LOADS_DIFFER}"
    return "not supported", f"the records give {formatting.percent(given)}; {LOADS_DIFFER}"


def _judge_change(
    claimed: float, change: Change, readings: list[Reading], metric: Metric, minimum_effect: float
) -> tuple[Outcome, str]:
    bounds = [each.lower_bound for each in readings]
    if all(bound == 0 for bound in bounds):
        return "cannot tell", "too few requests finished, and of the others it is not even bounded"
    if all(bound is not None for bound in bounds):
        if NOT_GIVEN in (readings[0].display, readings[1].display):
            return "cannot tell", "too few requests finished to name either"
        shown = " and ".join(f"{each.display} {metric.display_unit}" for each in readings)
        return "not supported", f"over all requests they are {shown}, so no change can be named"
    if change.change is None:
        if change.display == "n/a":
            return "cannot tell", change.reason
        return _judge_bounded(claimed, change, readings)
    if metric.better == "none" or change.low is None or change.high is None:
        if abs(change.change - claimed) <= minimum_effect:
            return "supported", "as the records give it, without an interval"
        return "not supported", f"the records give {change.display}"
    interval = f"{change.display}, {change.display_interval}"
    close = abs(change.change - claimed) <= minimum_effect
    if not (close or change.low <= claimed <= change.high):
        return "not supported", f"the records give {interval}"
    if abs(claimed) <= minimum_effect and not close:
        return "cannot tell", f"too wide to say that nothing changed: {interval}"
    if abs(claimed) > minimum_effect and change.low <= 0 <= change.high:
        return "not supported", f"the interval of the records holds 0: {interval}"
    return "supported", f"the records give {interval}"


def _judge_bounded(claimed: float, change: Change, readings: list[Reading]) -> tuple[Outcome, str]:
    """One of the two lies beyond its data, so the change has a bound on one side only."""
    assert readings[0].value is not None or readings[1].value is not None
    text = f"the records only give {change.display}"
    if readings[1].value is None:  # at least
        start, bound = readings[0].value, readings[1].lower_bound
        beyond = start and bound is not None and claimed < bound / start - 1
    else:
        end, bound = readings[1].value, readings[0].lower_bound
        beyond = bool(bound) and bound is not None and claimed > end / bound - 1
    return ("not supported" if beyond else "cannot tell"), text

"""The first paragraph of an audit: what the tool claimed, what its records support, the difference."""

from collections.abc import Sequence

import numpy as np

from loadgen.records.record import COMPLETED, FAILED, UNFINISHED
from reports.document.audit import ClaimCheck
from reports.document.lookup import spoken_name
from reports.document.schema import Comparison
from reports.findings.audit_claims import HEADLINE, reading_of
from reports.metrics import plateau, request_metrics
from reports.runs.importers.imported import Imported
from reports.runs.runs import Run
from reports.text import formatting

SAME = 0.03  # share: a claim that a formula gives this closely was made by it
SPOKEN = 3  # claims in the paragraph; the table has all


def paragraph(
    found: Sequence[Imported],
    runs: Sequence[Run],
    comparison: Comparison,
    checks: Sequence[ClaimCheck],
    apart: str | None = None,
) -> str:
    """Claim, support, difference, in this order. `apart`: in what the loads of two files differ."""
    first = f"{_against(found)} " if len(found) == 2 else ""
    shown = _headline(checks, pair=len(runs) == 2)
    if not all(each.has_records for each in found):
        return f"{first}{_sums_only(found, checks, comparison)}"
    if not shown and len(found) == 2:
        shown = _headline(checks, pair=False)
    if not shown:
        return f"{first}The file holds no figure that the tool printed, only its requests. {_fates(runs)}"
    if apart:
        return f"{first}{_two_loads(checks, apart)} {_fates(runs)}"
    claims = [f"{formatting.capital(_claim(each, comparison, found))}." for each in shown[1:]]
    parts = [
        f"The tool claimed {_claim(shown[0], comparison, found)}.",
        *claims,
        _success(found),
        _support(shown, comparison, runs),
        _fates(runs),
        _difference(found, runs, checks, apart),
    ]
    return first + " ".join(part for part in parts if part)


def _against(found: Sequence[Imported]) -> str:
    return f"{found[1].label} is held against {found[0].label}, the first file named."


def title(
    found: Sequence[Imported], runs: Sequence[Run], checks: Sequence[ClaimCheck], apart: str | None
) -> str:
    """The decision in one line. `apart`: in what two loads differ."""
    names = formatting.listed([run.manifest.variant for run in runs])
    if not all(each.has_records for each in found):
        return f"No decision by {names}: sums only, so nothing supports or contradicts the claims"
    told = [check for check in checks if not (apart and check.field.startswith("change of "))]
    bad = [check for check in told if check.outcome == "not supported"]
    good = sum(check.outcome == "supported" for check in told)
    tail = f"{_cut_short(runs)}{'; the loads differ' if apart else ''}"
    if not bad and not good:
        return f"No decision by {names}: no figure that can be checked{tail}"
    if not bad:
        return f"Every figure of {names} that can be checked is supported ({good}){tail}"
    if any(check.field.startswith("change of ") for check in bad):
        return f"Do not use the claims of {names}: {_worst(bad)}{tail}"
    many = f"{len(bad)} of {formatting.counted(len(told), 'claim')}"
    return f"{many} of {names} {_is(len(bad))} not supported: {_worst(bad)}{tail}"


def _worst(bad: Sequence[ClaimCheck]) -> str:
    """The claim that is most wrong to act on: one whose sign is another, else the most read; the changes
    before the figures. 'token throughput is claimed +19.7 %, the records say −39.1 %'"""
    turned = [check for check in bad if _is_turned(check)]
    first = min(turned or bad, key=_rank)
    unit = formatting.after(first.display_unit)
    claimed = f"{spoken_name(first.metric, first.label)} is claimed {first.claimed_display}"
    if first.supported_display == "n/a":
        return f"{claimed}{unit}, and the records name no change of it"
    return f"{claimed}, the records say {formatting.spoken(first.supported_display)}{unit}"


def _is_turned(check: ClaimCheck) -> bool:
    """Whether a change goes the other way."""
    change = check.field.startswith("change of ")
    return change and check.supported is not None and check.supported * check.claimed < 0


def _rank(check: ClaimCheck) -> tuple[bool, int]:
    place = HEADLINE.index(check.metric) if check.metric in HEADLINE else len(HEADLINE)
    return not check.field.startswith("change of "), place


def _cut_short(runs: Sequence[Run]) -> str:
    """'; 66 and 56 of 767 requests finished', where hardly all did."""
    sent = [len(run.records) for run in runs]
    done = [int(run.records.status_is(COMPLETED).sum()) for run in runs]
    if all(finished >= (1 - SAME) * count for finished, count in zip(done, sent, strict=True)):
        return ""
    return f"; {_and(done)} of {_and(sent)} requests finished"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _two_loads(checks: Sequence[ClaimCheck], apart: str) -> str:
    """What can be said of two loads: what each file printed, and nothing of the change."""
    values = [check for check in checks if not check.field.startswith("change of ")]
    bad = [check for check in values if check.outcome == "not supported"]
    good = sum(check.outcome == "supported" for check in values)
    differ = f"The loads differ ({apart}), so the change is no effect of the server."
    if not bad:
        rest = len(values) - good
        more = f"; of {formatting.counted(rest, 'figure')} the files cannot tell" if rest else ""
        return f"Every figure that can be checked is supported ({good}{more}). {differ}"
    named = formatting.listed(
        [
            f"{_label(check.label)} of {check.variant} (claimed {check.claimed_display}, the records give "
            f"{check.supported_display} {check.display_unit})".replace(" )", ")")
            for check in bad[:SPOKEN]
        ]
    )
    return (
        f"Of {len(values)} printed figures {good} {_is(good)} supported and {len(bad)} {_is(len(bad))} not: "
        f"{named}. {differ}"
    )


def _sums_only(found: Sequence[Imported], checks: Sequence[ClaimCheck], comparison: Comparison) -> str:
    """Where a file holds no single requests, its claims can only be repeated."""
    bare = [each for each in found if not each.has_records]
    names = formatting.listed([each.label for each in bare])
    shown = [
        check for check in _headline(checks, pair=False) if check.variant in {each.label for each in bare}
    ]
    units = {metric.name: metric.display_unit for metric in comparison.metrics}
    claims = formatting.listed(
        [f"{_label(check.label)} {check.claimed_display} {units[check.metric]}" for check in shown]
    )
    holds = "holds" if len(bare) == 1 else "hold"
    counts = _and(each.due for each in bare)
    said = f"The tool claimed {claims}. " if claims else ""
    return (
        f"{said}{names} {holds} sums over requests ({counts} by its own count) and no single ones: no "
        f"records, "
        "so nothing supports or contradicts the claims. They are by the tool's own definitions."
    )


def limit_lines(found: Sequence[Imported], runs: Sequence[Run]) -> list[str]:
    """What a plateau of the requests at work says, for each run that has one."""
    lines = []
    for each, run in zip(found, runs, strict=True):
        if not each.placed or _steady(each):
            continue
        answered = plateau.answered(run)
        flight = None if answered else plateau.in_flight(run)
        who = f"With {run.manifest.variant} " if len(runs) > 1 else ""
        if seen := answered or flight:
            what = "being answered" if answered else "in flight"
            text = f"{who}the number {what} stood at {seen.level} from {seen.start:.1f} s on"
            lines.append(_upper(text + _limit(seen, each.concurrency)))
    return lines


def _steady(found: Imported) -> bool:
    """Whether requests came evenly, so that as many are at work at any moment, without a limit."""
    arrivals = found.asked.get("arrivals")
    return found.timed and isinstance(arrivals, dict) and arrivals.get("process") == "constant"


def _limit(found: plateau.Plateau, concurrency: int | None) -> str:
    """Whose limit that is. `concurrency`: the client's own, where the file names one."""
    if found.level == concurrency:
        return ": the client's own limit (max_concurrency) set the pace, not the arrivals."
    waited = f", while up to {found.waiting} others waited" if found.waiting else ""
    if concurrency is not None:
        return (
            f"{waited}. A limit of {found.level} of the server's batch (--max-num-seqs) set the pace: the "
            f"client let up to {concurrency} through (max_concurrency)."
        )
    if found.tens:
        return (
            f"{waited}. So round a number points at a pool of {found.level} clients or connections in the "
            f"tool, else at the server's batch limit. With a pool, a request did not "
            "leave when the file says that it was sent."
        )
    return (
        f"{waited}. A limit of {found.level}, of the server's batch (--max-num-seqs) or of the client, set "
        "the pace, not the arrivals."
    )


def _headline(checks: Sequence[ClaimCheck], pair: bool) -> list[ClaimCheck]:
    """The checks that are spoken of: changes of a pair, values of one file."""
    usable = [check for check in checks if check.field.startswith("change of ") == pair]
    ranked = sorted(
        (check for check in usable if check.metric in HEADLINE), key=lambda each: HEADLINE.index(each.metric)
    )
    if pair:  # a rate that stayed the same is no claim
        ranked = [check for check in ranked if abs(check.claimed) > SAME] or ranked
    return ranked[:SPOKEN]


def _claim(check: ClaimCheck, comparison: Comparison, found: Sequence[Imported]) -> str:
    metric = next(each for each in comparison.metrics if each.name == check.metric)
    unit = metric.display_unit
    if len(found) == 1:
        return f"{_label(metric.label)} {check.claimed_display} {unit}"
    if not check.field.startswith("change of "):
        return f"{_label(metric.label)} {check.claimed_display} {unit} ({check.variant})"
    values = [
        formatting.number(claim.value, unit)
        for each in found
        for claim in each.claims
        if claim.row == check.metric
    ]
    return f"{_label(metric.label)} {check.claimed_display} ({values[0]} to {values[1]} {unit})"


def _success(found: Sequence[Imported]) -> str:
    counts = [claim.value for each in found for claim in each.claims if claim.row == "completed"]
    if len(counts) != len(found):
        return ""
    return f"And {_and(f'{count:.0f}' for count in counts)} requests as successful."


def _support(shown: Sequence[ClaimCheck], comparison: Comparison, runs: Sequence[Run]) -> str:
    good = [check for check in shown if check.outcome == "supported"]
    open_ = [check for check in shown if check.outcome == "cannot tell"]
    bad = [check for check in shown if check.outcome == "not supported"]
    if len(good) == len(shown):
        given = [_given(each, comparison, runs) for each in shown]
        return f"Its records support that, over all requests. {_one_by_one(given)}"
    head = "Its records do not support that, " if not good else "Its records support only a part of that, "
    parts = [f"{_given(each, comparison, runs)} (supported)" for each in good]
    parts += [_given(each, comparison, runs) + _by_chance(each, comparison) for each in bad]
    parts += [f"{_label(each.label)} cannot be told ({each.reason})" for each in open_]
    return f"{head}over all requests. {_one_by_one(parts)}"


def _one_by_one(parts: Sequence[str]) -> str:
    return " ".join(f"{formatting.capital(part)}." for part in parts)


def _by_chance(check: ClaimCheck, comparison: Comparison) -> str:
    """Why a change that the records give as it was claimed is not supported all the same."""
    same = check.supported is not None and abs(check.supported - check.claimed) <= comparison.minimum_effect
    return " (chance gives as much: the interval holds 0)" if same and "holds 0" in check.reason else ""


def _given(check: ClaimCheck, comparison: Comparison, runs: Sequence[Run]) -> str:
    """What the records give for the metric of a check."""
    metric = next(each for each in comparison.metrics if each.name == check.metric)
    readings = [reading_of(metric, run.manifest.variant) for run in runs]
    values = " to ".join(each.display for each in readings)
    if len(readings) == 1 or check.supported_display == "n/a":
        values = _and(each.display for each in readings)
        tail = "" if len(readings) == 1 else ", so no change of it can be named"
        return f"{_label(metric.label)} is {values} {metric.display_unit}{tail}"
    return f"{_label(metric.label)} is {check.supported_display} ({values} {metric.display_unit})"


def _fates(runs: Sequence[Run]) -> str:
    sent = [len(run.records) for run in runs]
    done = [int(run.records.status_is(COMPLETED).sum()) for run in runs]
    text = f"Of the {_and(sent)} requests sent, {_and(done)} finished"
    unfinished = [run.records.status_is(UNFINISHED) for run in runs]
    silent = [
        int((each & np.isnan(run.records.numbers("first_token"))).sum())
        for each, run in zip(unfinished, runs, strict=True)
    ]
    failed = [n - d - int(each.sum()) for n, d, each in zip(sent, done, unfinished, strict=True)]
    if any(failed):
        text += f", {_and(failed)} failed"
    if any(each.any() for each in unfinished):
        text += f", {_and(silent)} had no first token when the file ends"
        streaming = [int(each.sum()) - none for each, none in zip(unfinished, silent, strict=True)]
        text += f". {_and(streaming)} were still streaming then" if any(streaming) else ""
    return text + "."


def _difference(
    found: Sequence[Imported], runs: Sequence[Run], checks: Sequence[ClaimCheck], apart: str | None
) -> str:
    """Where claims and records part, as far as the file shows how the tool reckoned."""
    by_reason: dict[str, list[str]] = {}
    for each, run in zip(found, runs, strict=True):
        for reason in causes(each, run):
            by_reason.setdefault(reason, []).append(run.manifest.variant)
    reasons = [
        reason if len(names) == len(runs) else f"{reason} ({names[0]})" for reason, names in by_reason.items()
    ]
    if apart:
        reasons.insert(0, f"the two files are not of the same load: {apart}")
    if reasons:
        return f"The difference: {'. '.join(reasons[:1])}. {_one_by_one(reasons[1:])}".rstrip()
    wrong = [check for check in checks if check.outcome != "supported"]
    return "" if wrong else "There is no difference beyond the minimum effect size."


def causes(each: Imported, run: Run) -> list[str]:
    """How the tool came to its figures, where that can be checked."""
    claims = {claim.row: claim.value for claim in each.claims}
    done = run.records.status_is(COMPLETED)
    unfinished, failed = (int(run.records.status_is(status).sum()) for status in (UNFINISHED, FAILED))
    found = []
    if claims.get("completed", 0.0) > done.sum() and unfinished:
        found.append("the tool counts whoever got no error as successful, finished or not")
    if any(row.startswith(("latency", "ttft", "tpot")) for row in claims):
        if unfinished:
            found.append("its latencies leave out those that did not finish, which waited longest")
        if failed:
            found.append(f"its latencies leave out the {failed:,} that failed")
    found += _defined_otherwise(each, run, bool(unfinished or failed))
    if held := _held_back(run):
        found.append(held)
    tokens = float(np.nansum(run.records.numbers("output_tokens")[done]))
    drain = each.watched - each.span
    if _same(claims.get("output_token_throughput"), tokens / each.watched):
        if unfinished:
            found.append("its tokens/s count the tokens of finished requests only")
        elif drain > SAME * each.span:
            found.append(
                f"its rates are over the whole {each.watched:.1f} s. The last {drain:.1f} s of that are the "
                "wait for the last answers and not the load"
            )
    return found


def _defined_otherwise(each: Imported, run: Run, lost: bool) -> list[str]:
    """Definitions of the tool that move a figure, where no lost request explains it."""
    found = []
    for claim in () if lost else each.claims:
        metric, _, statistic = claim.row.rpartition("_")
        if claim.own is None or not claim.meaning or statistic != "p50" or metric not in ("ttft", "tpot"):
            continue
        here = request_metrics.percentile(run, metric, 0.5).value
        if here and abs(claim.own / here - 1) > SAME:
            found.append(f"of its {metric.upper()}, {claim.meaning}")
    return found


def _held_back(run: Run) -> str | None:
    """What a limit of the client hid, where the file has due times and that moved the latency."""
    if "scheduled_latency" in run.limits.figures:
        return None
    sent, due = (
        request_metrics.percentile(run, name, 0.5).value for name in ("latency", "scheduled_latency")
    )
    if sent is None or due is None or due <= (1 + SAME) * sent:
        return None
    return (
        "its clock starts when its own limit lets a request go, not when it is due: the latency p50 is "
        f"{formatting.number(sent, 'ms')} ms (service) and {formatting.number(due, 'ms')} ms (scheduled)"
    )


def _same(claimed: float | None, formula: float) -> bool:
    return claimed is not None and formula > 0 and abs(claimed / formula - 1) <= SAME


def _and(values: object) -> str:
    """'767' for equal values, else '66 and 56'."""
    parts = [f"{value:,}" if isinstance(value, int) else str(value) for value in values]  # type: ignore[attr-defined]
    return parts[0] if len(set(parts)) == 1 else formatting.listed(parts)


def _label(label: str) -> str:
    """A row's label inside a sentence: 'latency (service) p50', 'TTFT (service) p50'."""
    return label if label[1:2].isupper() else label[0].lower() + label[1:]


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]

"""The load as it came: how long prompts and answers were, who counted their tokens, how often one was due.

What was asked stands in `conditions` and must be equal. What came of it may differ by chance, so here only
what differs by more than matters counts: figures of two different loads say nothing of the servers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadgen.records.record import COMPLETED
from reports.comparison.starts import paced_by_answers
from reports.document.part import Json
from reports.document.schema import Difference
from reports.runs.conditions import same_requests
from reports.runs.runs import Floats, Mask, Run
from reports.text import formatting
from reports.text.formatting import quantity

FEW = 0.01  # share of the answers from which their way of counting tokens is named
COUNTERS = {"usage": "the server", "chunks": "the chunks that came"}

Pairs = list[tuple[Run, Run]]


@dataclass(frozen=True)
class Means:
    """Tokens of a prompt or an answer with the baseline and with the variant; `over`: means of what."""

    before: float
    after: float
    unit: str
    over: str


def came(run: Run) -> dict[str, Json]:
    """Mean tokens of a prompt and of an answer, of the window's completed requests, and who counted them."""
    done = run.judged & run.records.status_is(COMPLETED)
    return {
        "mean prompt tokens": _mean(run.records.numbers("prompt_tokens")[done]),
        "mean output tokens": _mean(run.records.numbers("output_tokens")[done]),
        "output tokens counted by": counted_by(run),
    }


def counted_by(run: Run) -> str | None:
    """'the server', 'the chunks that came', or both; None where no record says."""
    codes, names = run.records.codes("tokens_from")
    found = np.bincount(codes[_completed(run) & (codes >= 0)], minlength=len(names))
    used = [COUNTERS.get(name, name) for name, count in zip(names, found, strict=True) if count]
    often = [name for name, count in zip(used, found[found > 0], strict=True) if count > FEW * found.sum()]
    return " and ".join(sorted(often)) or None


def differences(baseline: Sequence[Run], other: Sequence[Run], minimum_effect: float) -> list[Difference]:
    """In what the loads of two variants' runs differ by more than the fraction `minimum_effect`."""
    found = [
        _counting(baseline, other),
        _rate(baseline, other, minimum_effect),
        _lengths(baseline, other, "prompt", minimum_effect),
        _lengths(baseline, other, "output", minimum_effect),
    ]
    return [each for each in found if each is not None]


def apart(found: Sequence[Difference]) -> str | None:
    """Those differences for which nothing can be compared as one reason, or None."""
    return "; ".join(each.text for each in found if not each.comparable) or None


def _counting(baseline: Sequence[Run], other: Sequence[Run]) -> Difference | None:
    before, after = (sorted({by for run in side if (by := counted_by(run))}) for side in (baseline, other))
    if before == after or not before or not after:
        return None
    shown = [formatting.listed(each) for each in (before, after)]
    text = "the tokens of answers were counted by {after} with {other}, by {before} with {baseline}"
    return _difference("output tokens counted by", baseline, other, shown, text)


def _rate(baseline: Sequence[Run], other: Sequence[Run], minimum_effect: float) -> Difference | None:
    """Arrivals that the schedule itself makes due; how soon the others follow is the server's doing."""
    if any(paced_by_answers(run) for run in (*baseline, *other)):
        return None
    before, after = (float(np.mean([_scheduled_rate(run) for run in side])) for side in (baseline, other))
    if not _beyond(before, after, minimum_effect):
        return None
    shown = [f"{formatting.number(rate, 'req/s')} req/s" for rate in (before, after)]
    text = "{after} were due with {other}, {before} with {baseline}"
    return _difference("offered rate", baseline, other, shown, text)


def _scheduled_rate(run: Run) -> float:
    chained = run.records.numbers("turn") > 0
    return int((run.judged & ~chained).sum()) / run.window_length


def _lengths(
    baseline: Sequence[Run], other: Sequence[Run], what: str, minimum_effect: float
) -> Difference | None:
    """Tokens of prompts ("prompt") or answers ("output").

    Of the same arrivals where the runs have the same; else against what was asked; else as they are, and then
    only where hardly any are missing: of a queue, who is served in time is no sample of all.
    """
    if what == "output" and _counting(baseline, other):
        return None  # by as much as the ways of counting differ
    noun = {"prompt": "prompt", "output": "answer"}[what]
    found = _means(baseline, other, what, minimum_effect)
    if found is None or not _beyond(found.before, found.after, minimum_effect):
        return None
    shown = [f"{quantity(mean)} {found.unit}" for mean in (found.before, found.after)]
    text = f"{noun}s have {{after}} with {{other}}, {{before}} with {{baseline}} ({found.over})"
    return _difference(f"mean {what} tokens", baseline, other, shown, text)


def _means(baseline: Sequence[Run], other: Sequence[Run], what: str, minimum_effect: float) -> Means | None:
    if pairs := _partners(baseline, other):
        return _of_the_same(pairs, f"{what}_tokens")
    before, after = (_against_asked(side, what) for side in (baseline, other))
    if before is not None and after is not None:
        return Means(before, after, "times the tokens asked", "of the completed requests")
    before, after = (_of_nearly_all(side, what, minimum_effect) for side in (baseline, other))
    return None if before is None or after is None else Means(before, after, "tokens", "means")


def _partners(baseline: Sequence[Run], other: Sequence[Run]) -> Pairs:
    """Each run of the variant with one of the baseline that had the same requests; empty if one has none."""
    found = [(next((one for one in baseline if same_requests(one, run)), None), run) for run in other]
    pairs = [(one, run) for one, run in found if one is not None]
    return pairs if len(pairs) == len(other) else []


def _of_the_same(pairs: Pairs, column: str) -> Means | None:
    """Of the arrivals that completed in both runs of a pair."""
    count, before, after = 0, 0.0, 0.0
    for one, two in pairs:
        known = [_completed(run) & ~np.isnan(run.records.numbers(column)) for run in (one, two)]
        _, first, second = np.intersect1d(
            one.records.numbers("arrival")[known[0]],
            two.records.numbers("arrival")[known[1]],
            return_indices=True,
        )
        count += len(first)
        before += float(one.records.numbers(column)[known[0]][first].sum())
        after += float(two.records.numbers(column)[known[1]][second].sum())
    if not count:
        return None
    return Means(before / count, after / count, "tokens", f"means of the same {count:,} arrivals")


def _against_asked(runs: Sequence[Run], what: str) -> float | None:
    """Tokens that came / tokens asked, of completed requests; None where nobody asked for a length."""
    got, asked = 0.0, 0.0
    for run in runs:
        tokens, wanted = (run.records.numbers(f"{what}_{end}") for end in ("tokens", "asked"))
        known = _completed(run) & ~np.isnan(tokens) & (wanted > 0)
        got, asked = got + float(tokens[known].sum()), asked + float(wanted[known].sum())
    return got / asked if asked else None


def _of_nearly_all(runs: Sequence[Run], what: str, minimum_effect: float) -> float | None:
    """Mean tokens; None where those without a count are so many that they could make it another."""
    tokens = np.concatenate([run.records.numbers(f"{what}_tokens")[_countable(run, what)] for run in runs])
    due = sum(int(run.judged.sum()) for run in runs)
    known = tokens[~np.isnan(tokens)]
    return float(known.mean()) if len(known) and len(known) >= (1 - minimum_effect) * due else None


def _countable(run: Run, what: str) -> Mask:
    """An answer has its length only when it has ended; a prompt always."""
    return run.judged if what == "prompt" else _completed(run)


def _completed(run: Run) -> Mask:
    return run.judged & run.records.status_is(COMPLETED)


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 1) if len(known) else None


def _beyond(before: float, after: float, minimum_effect: float) -> bool:
    return abs(after - before) > minimum_effect * before


def _difference(
    condition: str, baseline: Sequence[Run], other: Sequence[Run], shown: Sequence[str], text: str
) -> Difference:
    names = [side[0].manifest.variant for side in (baseline, other)]
    return Difference(
        condition=condition,
        values=dict(zip(names, shown, strict=True)),
        comparable=False,
        text=text.format(before=shown[0], after=shown[1], baseline=names[0], other=names[1]),
    )

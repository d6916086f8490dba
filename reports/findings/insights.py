"""Why the figures moved, in words from the figures: wins, trade-offs, TTFT, TPOT."""

from collections.abc import Callable, Sequence

from reports.document.decision import Insight
from reports.document.lookup import Facts
from reports.document.run import RunInfo
from reports.text import formatting
from reports.text.formatting import quantity

# Where a first token's time goes, as the client and the server's histograms tell it (means, seconds).
PARTS = {
    "dispatch_delay_mean": "dispatch delay",
    "network_mean": "network",
    "front_end_mean": "front end",
    "queue_mean": "queue",
    "prefill_mean": "prefill",
}

TTFTS = ("ttft_p50", "ttft_p99", "scheduled_ttft_p50", "scheduled_ttft_p99")
COUNTS_AGREE = 0.05  # share by which the server's count may differ from the client's
SAME_BYTES = 0.25  # bytes of a step that fall by less than this part of the batch's fall: mostly weights


def insights(facts: Facts) -> list[Insight]:
    """All insights, variant by variant."""
    found: list[Insight | None] = []
    for variant in facts.others:
        name = variant.name
        found += [
            _side(facts, name, "better"),
            _side(facts, name, "worse"),
            why_ttft(facts, name),
            why_tpot(facts, name),
        ]
        found += [_loose(facts, name)]
    found += [_stalled(run) for run in facts.runs]
    found += [_verdict(facts, run) for run in facts.runs]
    return [each for each in found if each is not None]


def _side(facts: Facts, variant: str, mark: str) -> Insight | None:
    names = facts.marked(variant, mark)
    if not names:
        return None
    warning = next((w for name in names if (w := facts.change(name, variant).warning)), None)
    head = f"{variant} wins" if mark == "better" else f"{variant} pays"
    text = f"{head}: {facts.phrases(names, variant)}." + (f" {_sentence(warning)}" if warning else "")
    figures = {name: facts.change(name, variant).change for name in names}
    return Insight(
        kind="win" if mark == "better" else "trade-off", variant=variant, text=text, figures=figures
    )


def why_ttft(facts: Facts, variant: str) -> Insight | None:
    """Which part of the mean TTFT (scheduled) moved most, with the batch and the queue beside it.

    None where no change of TTFT is claimed.
    """
    if not _claimed(facts, variant, TTFTS):
        return None
    parts: dict[str, tuple[float, float]] = {}
    for part in PARTS:
        before, after = facts.server(facts.baseline, part), facts.server(variant, part)
        if before is not None and after is not None:
            parts[part] = before, after
    batch = _batch(facts, variant)
    if "queue_mean" not in parts and "prefill_mean" not in parts and not batch:
        return None
    if other := _of_others(facts, variant):
        parts = {}
    shown = [f"{PARTS[part]} {_ms(before)} to {_ms(after)} ms" for part, (before, after) in parts.items()]
    text = f"The parts of TTFT are not known: {other}." if other else _in_parts(facts, variant, shown)
    moved = {part: after - before for part, (before, after) in parts.items()}
    text += _largest(moved) + batch
    figures = {f"{part}_change": change for part, change in moved.items()}
    return Insight(kind="ttft", variant=variant, text=text, figures=dict(figures))


def _in_parts(facts: Facts, variant: str, shown: list[str]) -> str:
    """The parts, two in a sentence."""
    head = f"Parts of the mean TTFT of those that got a first token, {facts.baseline} to {variant}"
    if not shown:
        return f"{head}: not exported."
    pairs = [", ".join(shown[place : place + 2]) for place in range(0, len(shown), 2)]
    return f"{head}. " + " ".join(f"{formatting.capital(pair)}." for pair in pairs)


def _of_others(facts: Facts, variant: str) -> str | None:
    """Whether the server's parts are of other requests than those that got a first token, in words: its
    histograms of queue and prefill hold finished requests only."""
    for name in (facts.baseline, variant):
        counted, first = facts.server(name, "parts_count"), facts.server(name, "first_tokens")
        if counted is not None and first and abs(counted - first) > COUNTS_AGREE * first:
            return (
                f"with {name} the server counts the queue and prefill of {counted:,.0f} requests, and "
                f"{first:,.0f} got a first token"
            )
    return None


def _claimed(facts: Facts, variant: str, names: Sequence[str]) -> bool:
    return any(facts.change(name, variant).mark in ("better", "worse") for name in names)


def _largest(moved: dict[str, float]) -> str:
    """The part that made most of the change; nothing where the server's own parts are not known."""
    if not {"queue_mean", "prefill_mean"} <= moved.keys():
        return ""
    total, largest = sum(moved.values()), max(moved, key=lambda part: abs(moved[part]))
    if abs(total) <= 0.001 or moved[largest] / total <= 0.5:
        return ""
    way, share = "rise" if total > 0 else "fall", 100 * min(moved[largest] / total, 1.0)
    return f" The {PARTS[largest]} makes up {share:.0f} % of the {way} of {_ms(abs(total))} ms."


def why_tpot(facts: Facts, variant: str) -> Insight | None:
    """Batch size and, where exported, tokens and bytes of a step and the arithmetic intensity.

    None where no change of TPOT is claimed, and a smaller batch does not explain why.
    """
    wanted: dict[str, tuple[str, Callable[[float], str]]] = {
        "running_mean": ("requests in the batch (mean)", "{:.1f}".format),
        "running_max": ("at most", "{:.0f}".format),
        "tokens_per_step": ("tokens per engine step", "{:.1f}".format),
        "bytes_per_step": ("moved per step", lambda value: quantity(value, "B")),
        "flops_per_byte": ("FLOP/byte", "{:.1f}".format),
    }
    pairs = {key: (facts.server(facts.baseline, key), facts.server(variant, key)) for key in wanted}
    known = {key: pair for key, pair in pairs.items() if None not in pair and any(pair)}
    if not known:
        return None
    parts = []
    for key, (one, two) in known.items():
        label, shown = wanted[key]
        parts.append(f"{label} {shown(one or 0.0)} to {shown(two or 0.0)}")
    values = [facts.value("tpot_p50", name) for name in (facts.baseline, variant)]
    head = "" if None in values else f"TPOT p50 is {_ms(values[0])} to {_ms(values[1])} ms. "
    text = f"{head}{facts.baseline} to {variant}: {', '.join(parts[:3])}."
    text += f" {formatting.capital(', '.join(parts[3:]))}." if parts[3:] else ""
    text += _tpot_cause(facts, variant, *pairs["running_mean"])
    same_bytes = _same_bytes(facts, variant, *pairs["running_mean"], *pairs["bytes_per_step"])
    if not same_bytes and not _claimed(facts, variant, ("tpot_p50", "tpot_p99")):
        return None
    text += same_bytes
    return Insight(
        kind="tpot", variant=variant, text=text, figures={key: two for key, (_, two) in known.items()}
    )


def _tpot_cause(facts: Facts, variant: str, before: float | None, after: float | None) -> str:
    """A batch that is held below the demand, so that others wait, explains TPOT. One that is not follows
    from TPOT: of the same arrivals fewer are under way at a time where each is done sooner."""
    if before is None or after is None or not before:
        return ""
    mark, batch = facts.change("tpot_p50", variant).mark, after / before - 1
    if mark == "better" and batch < -facts.minimum_effect and _held(facts, variant):
        return (
            " The batch is held smaller while others wait, so each step is shorter and tokens come faster "
            "to whoever is in it."
        )
    if mark == "worse" and batch > facts.minimum_effect and _held(facts, facts.baseline):
        return " The batch is held no longer, so each step takes longer and everyone in it waits for it."
    if mark in ("better", "worse"):
        return (
            " The batch does not explain it: where nobody waits, it follows from the pace. Look at the cost "
            "of a step (kernels, compilation, contention)."
        )
    return ""


def _same_bytes(
    facts: Facts,
    variant: str,
    batch_before: float | None,
    batch_after: float | None,
    bytes_before: float | None,
    bytes_after: float | None,
) -> str:
    """What a smaller batch is worth where the weights are most of what a step moves: little."""
    if not batch_before or batch_after is None or not bytes_before or bytes_after is None:
        return ""
    if facts.change("tpot_p50", variant).mark == "better":
        return ""
    smaller, fewer = 1 - batch_after / batch_before, 1 - bytes_after / bytes_before
    if smaller <= facts.minimum_effect or fewer > SAME_BYTES * smaller or not _held(facts, variant):
        return ""
    return (
        " The batch is held smaller while others wait, but a step still moves nearly as many bytes. The "
        "weights are read once a step, whatever the batch, so fewer requests share the same cost."
    )


def _held(facts: Facts, variant: str) -> bool:
    waiting = facts.server(variant, "waiting_mean")
    return waiting is not None and waiting >= 1


def _batch(facts: Facts, variant: str) -> str:
    running = facts.server(facts.baseline, "running_mean"), facts.server(variant, "running_mean")
    waiting = facts.server(facts.baseline, "waiting_mean"), facts.server(variant, "waiting_mean")
    if None in running or None in waiting:
        return ""
    return (
        f" On average {running[0]:.1f} requests ran and {waiting[0]:.1f} waited with {facts.baseline}, "
        f"{running[1]:.1f} and {waiting[1]:.1f} with {variant}."
    )


def _loose(facts: Facts, variant: str) -> Insight | None:
    names = [
        name
        for name, row in facts.metrics.items()
        if facts.change(name, variant).mark == "unstable" and row.changes
    ]
    if not names:
        return None
    varied = formatting.counted(len(names), "figure")
    text = f"Between repeats {varied} varied too much for a claim; the table says unstable."
    return Insight(
        kind="repeats",
        variant=variant,
        text=text,
        figures={name: facts.value(name, variant) for name in names},
    )


def _stalled(run: RunInfo) -> Insight | None:
    if not run.stalls:
        return None
    longest = max(run.stalls, key=lambda stall: stall.end - stall.start)
    often = f"{len(run.stalls)} stalls, the longest: for at least" if len(run.stalls) > 1 else "for at least"
    loop = next((rule.text for rule in run.rules if rule.rule == "loop_stall_p99" and rule.checked), None)
    who = "The server, its front end, the network" + ("" if loop else ", the client")
    text = (
        f"{run.run}: {often} {longest.end - longest.start:g} s ({longest.start:g} to {longest.end:g} s) no "
        f"token came, though {longest.streaming} answers had begun and went on after it. {who} "
        "or the machine stood still"
        + (f" ({loop})" if loop else "")
        + ". It is in every figure, and only repeats can tell whether it belongs to the variant."
    )
    figures: dict[str, float | None] = {"seconds": sum(each.end - each.start for each in run.stalls)}
    return Insight(kind="warning", variant=run.variant, text=text, figures=figures)


def _verdict(facts: Facts, run: RunInfo) -> Insight | None:
    """Every rule that a run fails, in words; those too that only warn."""
    broken = [rule.text for rule in run.rules if not rule.passed]
    if run.verdict == "VALID" and not broken:
        return None
    link = ", but " if run.verdict == "VALID" else ": "
    text = f"{run.run} is {run.verdict}" + (f"{link}{'; '.join(broken)}" if broken else "")
    figures = {
        "offered_rate": facts.value("offered_rate", run.variant),
        "completed_rate": facts.value("completed_rate", run.variant),
    }
    return Insight(kind="warning", variant=run.variant, text=_sentence(text), figures=figures)


def _ms(value: float | None) -> str:
    return formatting.number(value, "ms")


def _sentence(text: str) -> str:
    """With its full stop. It begins with a run's or a variant's name, which is written as it is."""
    return text.rstrip(".") + "."

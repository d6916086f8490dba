"""`tokenswarm judge RUN`: the verdict, summary.json, and what a person at the terminal needs."""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from common.redact import redact
from common.results import SUMMARY, write_whole
from common.usage import UsageError
from loadgen.records.metrics import METRICS, live
from loadgen.records.record import STATUSES
from reports.metrics import request_metrics
from reports.metrics.gateway import Gateway, gateway
from reports.metrics.instrument import client_error
from reports.metrics.request_metrics import Figure
from reports.runs.runs import Run, load_run
from reports.text import formatting
from reports.text.console import console_of
from reports.text.formatting import measured, number, slo
from reports.verdict import validity
from reports.verdict.rule import Rule, Verdict

_COLOURS = {
    Verdict.VALID: "bold green",
    Verdict.TOO_SHORT: "bold yellow",
    Verdict.SATURATED: "bold yellow",
    Verdict.CLIENT_LIMITED: "bold magenta",
    Verdict.DISTURBED: "bold magenta",
    Verdict.INVALID: "bold red",
}
_MEANING = {
    Verdict.VALID: "the figures describe the server under this load",
    Verdict.TOO_SHORT: "too few requests for a p99: the other figures describe the server under this load",
    Verdict.SATURATED: "the server fell behind: its latencies depend on how long the test ran",
    Verdict.CLIENT_LIMITED: "the load generator fell behind: the figures describe it, not the server",
    Verdict.DISTURBED: "others took the machine's cores: the figures are not those of the server alone",
    Verdict.INVALID: "the measurement itself failed: conclude nothing from the figures",
}
WIDTH = 110  # of plain text, where no terminal says how wide it is


@dataclass(frozen=True)
class Judgement:
    """All that summary.json holds."""

    run: str
    verdict: Verdict
    who: str  # is to blame for it
    rules: list[Rule]
    accounting: dict[str, int]
    accounting_all: dict[str, int]
    errors: dict[str, int]
    metrics: dict[str, Figure]
    gateway: Gateway | None  # where some requests went past it


def judge(run: Run) -> Judgement:
    """Check every rule and compute every metric. Pure but for reading the run."""
    rules = validity.check(run)
    verdict = validity.verdict(rules)
    return Judgement(
        run.name,
        verdict,
        validity.who(run, verdict),
        rules,
        request_metrics.accounting(run),
        request_metrics.accounting(run, window_only=False),
        request_metrics.errors(run),
        request_metrics.figures(run),
        gateway(run),
    )


def summary(found: Judgement) -> dict[str, Any]:
    """summary.json as docs/design.md describes it: times in seconds, no NaN, no infinity."""
    return {
        "run": found.run,
        "verdict": found.verdict.label,
        "who": found.who,
        "rules": [
            {**vars(rule), "verdict": rule.verdict.label, "figure": _finite(rule.figure)}
            for rule in found.rules
        ],
        "accounting": found.accounting,
        "accounting_all": found.accounting_all,
        "errors": found.errors,
        "metrics": {name: vars(figure) for name, figure in found.metrics.items()},
        **({"gateway": vars(found.gateway)} if found.gateway else {}),
    }


def write_summary(folder: Path, found: Judgement) -> Path:
    """Write summary.json so that a reader sees the old one or the new one, never half. Raises UsageError."""
    path = folder / SUMMARY
    try:
        write_whole(path, redact(json.dumps(summary(found), indent=2, allow_nan=False)) + "\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; free space, or rights?") from None
    return path


def reconciliation(counts: dict[str, int]) -> str:
    """`due 1200 = completed 1187 + failed 0 + unfinished 13 + lost 0`."""
    return f"due {counts['due']} = " + " + ".join(f"{status} {counts[status]}" for status in STATUSES)


def show(run: Run, found: Judgement, console: Console) -> None:
    """Print the verdict, the failed rules, the reconciliation and the main figures (in ms)."""
    title = Text.assemble(
        (found.verdict.label, _COLOURS[found.verdict]), f"  {_meaning(found)}  ", (found.run, "dim")
    )
    console.print(Group(Text(), title, *_rule_lines(found.rules)))
    console.print(Text(reconciliation(found.accounting)))
    for text, count in list(found.errors.items())[:3]:
        console.print(Text(f"  {count} x {text}"), style="red")
    console.print(Text(_rates(found.metrics, run.manifest.scenario.get("slo") or {})))
    console.print(_percentiles(found.metrics))
    if (way := found.gateway) is not None:
        told = formatting.gateway(way.ttft, way.low, way.high)
        console.print(Text(f"gateway: {told} of TTFT, by {way.past} requests past it"))
    stated = client_error(run.manifest.client_error)
    console.print(Text(f"client error at this load: {stated}", style="dim"))


def _meaning(found: Judgement) -> str:
    named = validity.WHO[found.verdict]
    return _MEANING[found.verdict].replace(named, f"{found.who}, not the engine,", int(found.who != named))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument(
        "--allow",
        default="",
        metavar="V,…",
        help="exit 0 for these verdicts too: too-short, saturated, client-limited, disturbed",
    )
    parser.add_argument("--quiet", action="store_true", help="write summary.json, print nothing")


def run(arguments: argparse.Namespace) -> int:
    """Judge one run. Exit code 0 valid (or allowed), else the verdict's (`Verdict.exit_code`)."""
    allowed = _allowed(arguments.allow)
    loaded = load_run(arguments.run)
    found = judge(loaded)
    path = write_summary(arguments.run, found)
    if not arguments.quiet:
        console = console_of(WIDTH)
        show(loaded, found, console)
        console.print(Text(str(path), style="dim"), soft_wrap=True)  # a path stays whole, to be copied
    return 0 if found.verdict in allowed else found.verdict.exit_code


def _allowed(text: str) -> set[Verdict]:
    allowed = [verdict for verdict in Verdict if verdict not in (Verdict.VALID, Verdict.INVALID)]
    names = {verdict.label.lower(): verdict for verdict in allowed}
    asked = [part.strip().lower() for part in text.split(",") if part.strip()]
    for part in asked:
        if part not in names:
            raise UsageError(
                f"--allow {part}: unknown; there are: {', '.join(names)} (an invalid run is never allowed)"
            )
    return {Verdict.VALID, *(names[part] for part in asked)}


def _rule_lines(rules: Sequence[Rule]) -> list[Padding]:
    lines = []
    for rule in sorted((rule for rule in rules if not rule.passed), key=lambda rule: -rule.verdict):
        label = rule.verdict.label if rule.verdict else "WARNING"
        line = Text.assemble(
            (f"{label} ", _COLOURS[rule.verdict or Verdict.SATURATED]), (rule.rule, "bold"), f": {rule.text} "
        )
        line.append(f"({measured(rule.figure, rule.unit)}, bound {measured(rule.bound, rule.unit)})")
        lines.append(Padding(line, (0, 0, 0, 2)))
        lines.append(Padding(Text(f"next: {rule.advice}", style="dim"), (0, 0, 0, 4)))
    skipped = [rule.rule for rule in rules if not rule.checked]
    if skipped:
        text = f"not checked: {', '.join(skipped)} (summary.json says why)"
        lines.append(Padding(Text(text, style="dim"), (0, 0, 0, 2)))
    return lines


def _rates(found: dict[str, Figure], asked: dict[str, Any]) -> str:
    offered, completed = found["offered_rate"].value or 0.0, found["completed_rate"].value or 0.0
    text = f"{number(found['output_token_throughput'].value or 0.0, 'tok/s')} tok/s, "
    text += f"offered {number(offered, 'req/s')} and completed {number(completed, 'req/s')} req/s"
    for name, of in (("energy_per_token", "token"), ("energy_per_good_request", "request within the SLO")):
        if name in found:
            text += f", {number(found[name].value, 'J')} J of the GPU per {of}"
    good = found["slo_attainment"].value
    if good is None:
        return f"{text}, no SLO asked"
    bounds = slo({name: bound for name, bound in asked.items() if name != "share"})
    return f"{text}, {100 * good:.1f} % within the SLO ({bounds})"


def _percentiles(found: dict[str, Figure]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("ms")
    extreme, share = request_metrics.EXTREME
    shares = request_metrics.SHARES | ({extreme: share} if f"ttft_{extreme}" in found else {})
    for suffix in (*shares, "count", "seen to the end"):
        table.add_column(suffix, justify="right")
    for name in (*live(), *(("first_answer",) if found["first_answer_p50"].count else ())):
        row = [(found.get(f"{name}_{suffix}"), share) for suffix, share in shares.items()]
        cells = ["" if figure is None else _cell(figure, share) for figure, share in row]
        middle = found[f"{name}_p50"]
        table.add_row(METRICS[name].label, *cells, str(middle.count), str(middle.observed))
    return table


def _cell(figure: Figure, share: float) -> str:
    """`52.31`; `52.31 (of 30)` where so few have it that the percentile says little."""
    few = request_metrics.thin(figure, share)
    return number(figure.value, "ms", figure.lower_bound) + (f" (of {figure.count})" if few else "")


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None

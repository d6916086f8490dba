"""The sections of a report that lay its evidence open: insights, commands, earlier runs, accounting."""

import difflib
import shlex
from collections import Counter
from collections.abc import Mapping

from reports.document.metric import Metric
from reports.document.run import Rule, RunInfo
from reports.document.schema import Comparison, Variant
from reports.document.screen import Tone
from reports.pages.blocks import (
    Block,
    Bullets,
    Cell,
    Code,
    Drawing,
    Folded,
    Link,
    Links,
    Table,
    Text,
    row,
)
from reports.pages.section import Charts, section
from reports.text.formatting import capital, gateway, listed, measured, milliseconds, quantity

TONES: dict[str, Tone] = {
    "VALID": "good",
    "TOO-SHORT": "doubt",
    "SATURATED": "doubt",
    "CLIENT-LIMITED": "bad",
    "DISTURBED": "bad",
    "INVALID": "bad",
}
WHY = {"ttft": "TTFT. ", "tpot": "TPOT. ", "repeats": "Repeats. "}


def compared(comparison: Comparison) -> list[str]:
    """Variants that ran beside the baseline."""
    return [each.name for each in comparison.variants if each.runs and each.name != comparison.baseline]


def shared_reasons(comparison: Comparison, other: str) -> list[str]:
    """Why most figures of a pair cannot be compared: said once, below the table."""
    changes = [each for metric in comparison.metrics for each in metric.changes if each.variant == other]
    reasons = Counter(change.reason for change in changes if change.mark == "not comparable")
    return [reason for reason, count in reasons.items() if count > len(changes) / 2]


def verdict(verdict: str) -> Cell:
    """A verdict in its colour."""
    return Cell(verdict, TONES.get(verdict, ""))


@section("Why")
def why(comparison: Comparison, charts: Charts) -> list[Block]:
    """Why the figures moved: queue, prefill, batch and bytes per step, by variant."""
    blocks: list[Block] = []
    for kind, heading in WHY.items():
        found = [each for each in comparison.insights if each.kind == kind]
        blocks += [
            Text(each.text, heading if len(found) == 1 else f"{heading} {each.variant}. ") for each in found
        ]
    return blocks or [Text("The figures of one variant alone explain nothing; compare it with another.")]


def where_time_went(comparison: Comparison) -> Table:
    """The server's own means."""
    columns = [
        "run",
        "dispatch delay",
        "network",
        "front end",
        "queue",
        "prefill",
        "batch, mean",
        "waiting, mean",
        "steps",
        "bytes per step",
        "KV cache, most",
        "preemptions",
        "prefix hits",
    ]
    with_gpu = any(run.server.gpu_power_mean is not None for run in comparison.runs)
    columns += ["GPU power, mean", "GPU energy per output token"] if with_gpu else []
    with_gateway = any(run.server.gateway_ttft is not None for run in comparison.runs)
    columns += ["gateway's part of TTFT"] if with_gateway else []
    more = [_gpu_cells] * with_gpu + [_gateway_cells] * with_gateway
    rows = [sum((cells(run) for cells in more), _server_row(run)) for run in comparison.runs]
    caption = "Where the time went: means of the server's own histograms, window and drain"
    return Table(caption, columns, rows, frozenset(range(1, len(columns))))


def _server_row(run: RunInfo) -> list[Cell]:
    server = run.server
    return row(
        f"{run.variant} {run.repeat}" if run.repeat > 1 else run.variant,
        milliseconds(server.dispatch_delay_mean),
        milliseconds(server.network_mean),
        milliseconds(server.front_end_mean),
        milliseconds(server.queue_mean),
        milliseconds(server.prefill_mean),
        quantity(server.running_mean),
        quantity(server.waiting_mean),
        quantity(server.steps),
        quantity(server.bytes_per_step, "B"),
        "n/a" if server.kv_cache_max is None else f"{100 * server.kv_cache_max:.0f} %",
        quantity(server.preemptions),
        "n/a" if server.prefix_hit_share is None else f"{100 * server.prefix_hit_share:.0f} %",
    )


def _gateway_cells(run: RunInfo) -> list[Cell]:
    """What of "network" the gateway has: requests through it less those past it."""
    return row(gateway(run.server.gateway_ttft, run.server.gateway_low, run.server.gateway_high))


def _gpu_cells(run: RunInfo) -> list[Cell]:
    return row(quantity(run.server.gpu_power_mean, "W"), quantity(run.server.joules_per_token, "J"))


def configuration(comparison: Comparison) -> list[Block]:
    """The commands in full, and in what they differ."""
    blocks: list[Block] = []
    for variant in comparison.variants:
        blocks.append(Text("", f"{variant.name}"))
        blocks.append(Code(_full_command(variant)) if variant.command_line else Text(_no_command(variant)))
    commands = {each.name: each.command_line for each in comparison.variants if each.command_line}
    baseline = commands.get(comparison.baseline)
    for name, command in commands.items():
        if name != comparison.baseline and baseline and command:
            blocks.append(Text("", f"Difference of {name} from {comparison.baseline}"))
            blocks.append(Code(_difference(baseline, command), "diff"))
    if comparison.conditions:
        rows = [
            row(
                each.condition,
                _values(each.values),
                Cell("as a caution", "quiet") if each.comparable else Cell("no", "doubt"),
                each.text,
            )
            for each in comparison.conditions
        ]
        blocks.append(Table("Conditions that differ", ["condition", "values", "comparable", ""], rows))
    elif len(comparison.runs) > 1:
        blocks.append(Text("All recorded conditions of the runs are the same, but for the variant."))
    return blocks


def _values(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in values.items())


def _full_command(variant: Variant) -> str:
    environment = "".join(
        f"{name}={shlex.quote(value)} \\\n" for name, value in sorted(variant.environment.items())
    )
    return environment + (variant.command_line or "")


def _no_command(variant: Variant) -> str:
    return variant.reason or "The launcher did not start this server, so its command is not known."


def _difference(before: str, after: str) -> str:
    """The flags that differ, one for each line, as a diff without context."""
    lines = difflib.ndiff(_flags(before), _flags(after))
    changed = [line for line in lines if line.startswith(("-", "+"))]
    return "\n".join(changed) or "  no difference"


def _flags(command: str) -> list[str]:
    """A command cut before every flag, so that a flag and its value stand in one line."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    parts: list[str] = []
    for word in words:
        if word.startswith("-") or not parts or not parts[-1].startswith("-"):
            parts.append(word)
        else:
            parts[-1] += f" {word}"
    return parts


@section("What next")
def recommendations(comparison: Comparison, charts: Charts) -> list[Block]:
    """What to do next, each with its command."""
    blocks: list[Block] = []
    for each in comparison.recommendations:
        blocks.append(Text(each.reason, f"{each.text} "))
        if each.command:
            blocks.append(Code(each.command))
    if not blocks:
        return [Text("No recommendation follows from these figures.")]
    if not any(each.command for each in comparison.recommendations):
        return blocks
    return [*blocks, Text("Another LOCUSTFILE=, which a run does not record, belongs to the commands too.")]


def earlier(comparison: Comparison) -> list[Block]:
    """Runs of the same variants before these."""
    if not comparison.earlier:
        return []
    names = list(dict.fromkeys(name for each in comparison.earlier for name in each.metrics))
    known = {metric.name: metric for metric in comparison.metrics}
    headings = [
        f"{known[name].label}, {known[name].display_unit}" if name in known else name for name in names
    ]
    rows = []
    for each in comparison.earlier:
        figures = [_in_unit(each.metrics.get(name), known.get(name)) for name in names]
        comparable = Cell("yes") if each.comparable else Cell(f"no: {'; '.join(each.differences)}", "doubt")
        rows.append(row(each.run, each.variant, verdict(each.verdict), *figures, comparable))
    columns = ["run", "variant", "verdict", *headings, "comparable"]
    return [Table("Earlier runs", columns, rows, frozenset(range(3, 3 + len(names))))]


def _in_unit(value: float | None, metric: Metric | None) -> Cell:
    factor = {"ms": 1000.0, "%": 100.0}.get(metric.display_unit if metric else "", 1.0)
    return Cell(quantity(None if value is None else value * factor), sort=value)


@section("Appendix E: accounting")
def _accounting(comparison: Comparison, charts: Charts) -> list[Block]:
    timelines = [Drawing(charts[name]) for name in charts if name.startswith("timeline")]
    return [*accounting(comparison), *timelines, *files(comparison)]


def accounting(comparison: Comparison) -> list[Block]:
    """Where every arrival went, what completed requests only would say."""
    ways = ("completed", "empty", "failed", "unfinished", "lost")
    columns = ["run", "arrivals", "due", "=", *" + ".join(ways).split()]
    rows, every = [], [*comparison.runs, *comparison.excluded]
    for run in every:
        for name, counts in (("of the window", run.accounting), ("with the warm-up", run.accounting_all)):
            values = [getattr(counts, way) for way in ways]
            adds_up = counts.due == sum(values)
            sign = Cell("=") if adds_up else Cell("≠", "bad")
            rows.append(
                row(
                    run.run,
                    name,
                    f"{counts.due:,}",
                    sign,
                    *" + ".join(f"{value:,}" for value in values).split(),
                )
            )
    blocks: list[Block] = [
        Table("Every arrival has one fate", columns, rows, frozenset({2, 4, 6, 8, 10, 12})),
        *_completed_only(comparison),
    ]
    errors_of_client = [row(run.run, run.client_error or "n/a") for run in every]
    told = Table("", ["run", "the load generator's own error"], errors_of_client)
    blocks.append(Folded("Client error at this load", [told]))
    errors = [row(run.run, text, f"{count:,}") for run in every for text, count in run.errors.items()]
    if errors:
        blocks.append(Table("Errors", ["run", "error", "requests"], errors, frozenset({2})))
    blocks += [Text(each.text, "Survivors only. ") for each in comparison.insights if each.kind == "served"]
    return blocks


def rules(comparison: Comparison) -> list[Block]:
    """The failed rules in full; of the others how many passed, with the table folded."""
    blocks: list[Block] = []
    warnings = [each.text for each in comparison.insights if each.kind == "warning"]
    stalls = [text for text in warnings if "no token came" in text]
    for run in [*comparison.runs, *comparison.excluded]:
        failed = [rule for rule in run.rules if not rule.passed]
        checked = [rule for rule in run.rules if rule.checked]
        told = f"{len(checked) - len(failed)} of {len(checked)} rules passed"
        unchecked = len(run.rules) - len(checked)
        told += f", {unchecked} could not be checked." if unchecked else "."
        blocks.append(Text(told, f"{run.run}, {run.verdict}. "))
        if failed:
            blocks.append(Bullets([Text(_in_full(rule)) for rule in failed]))
        blocks.append(Folded(f"Rules of the verdict: {run.run}, {run.verdict}", [_rules(run)]))
    return [*blocks, *[Text(text) for text in stalls]]


def _in_full(rule: Rule) -> str:
    seen = f"{'. '.join(capital(part) for part in rule.text.split('; '))}."
    return f"{seen} Next: {rule.advice}." if rule.advice else seen


def _completed_only(comparison: Comparison) -> list[Block]:
    """The table, and once for each variant on how many of its requests it rests."""
    rows = [
        row(
            each.variant,
            each.label,
            each.display_unit,
            each.completed_only_display,
            each.all_requests_display,
        )
        for each in comparison.completed_only
    ]
    caption = "Completed requests only, cut at the last arrival, beside all requests"
    said: dict[str, list[str]] = {}
    for each in sorted(comparison.completed_only, key=lambda line: line.metric == "success_share"):
        said.setdefault(each.text, []).append(each.label if each.metric == "success_share" else each.variant)
    notes = [Text(text, f"{listed(list(dict.fromkeys(names)))}: ") for text, names in said.items()]
    return [
        Table(
            caption,
            ["variant", "", "unit", "completed requests only", "all requests"],
            rows,
            frozenset({3, 4}),
        ),
        *([Bullets(notes)] if notes else []),
    ]


def _rules(run: RunInfo) -> Table:
    rows = []
    for rule in run.rules:
        outcome = Cell(f"gives {rule.verdict}", TONES.get(rule.verdict, ""))
        if not rule.checked:
            outcome = Cell("not checked", "doubt")
        elif rule.passed:
            outcome = Cell("passed")
        elif rule.verdict == "VALID":
            outcome = Cell("a warning", "doubt")
        figure, bound = (measured(value, rule.unit) for value in (rule.figure, rule.bound))
        rows.append(row(rule.rule, outcome, figure, bound, rule.text, "" if rule.passed else rule.advice))
    return Table(
        "",
        ["rule", "outcome", "figure", "bound", "what was seen", "what to do next"],
        rows,
        frozenset({2, 3}),
    )


def files(comparison: Comparison) -> list[Block]:
    """Where everything lies."""
    return [
        Links([Link(each.path, each.what) for each in comparison.files]),
        Text("", "The command that makes this report again"),
        Code(comparison.command),
    ]

"""`tokenswarm report`: choose the runs, compare them, write the report, print its table."""

import argparse
import contextlib
import datetime
import math
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.results import COMPARISON, results_folder, write_whole
from common.terminal import shown
from common.usage import UsageError, number
from reports.commands.assembly import assemble
from reports.comparison import claims
from reports.comparison.exclusions import without
from reports.document.decision import Recommendation
from reports.document.schema import Comparison, File
from reports.document.screen import FirstScreen
from reports.gate import options
from reports.gate.gate import of_comparison
from reports.pages import first_screen
from reports.pages.sections import because
from reports.pages.sections_evidence import shared_reasons
from reports.runs.index import index
from reports.runs.runs import Run, load_run
from reports.runs.selection import (
    Selection,
    how_to_run,
    named_runs,
    newest_runs,
    variants_present,
    without_counterpart,
)
from reports.text.console import console_of

DEFAULT_OTHERS = ("optimized",)
MINIMUM_EFFECT = 3.0  # per cent
FLOORS = {"ttft": "TTFT and latency", "tpot": "TPOT and ITL"}
INTERVALS_FROM = 104  # columns of a terminal; on a narrower one their column would break every line
WIDTH = 150  # of plain text, where no terminal says how wide it is
_COLOURS = {"better": "green", "worse": "red", "unstable": "yellow", "not comparable": "magenta"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help="run folders or names (default: the newest)")
    parser.add_argument("--baseline", metavar="V", help="the variant that the others are compared with")
    parser.add_argument("--variants", metavar="A,B", help="the others, newest runs (default: optimized)")
    add_minimum_effect(parser)
    for metric, what in FLOORS.items():
        parser.add_argument(
            f"--floor-{metric}",
            type=float,
            default=1000 * claims.FLOORS[metric],
            metavar="MS",
            help=f"nor are smaller changes of {what} (default: {1000 * claims.FLOORS[metric]:g} ms)",
        )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="shown in the report; may be repeated",
    )
    parser.add_argument("--note", metavar="TEXT", help="shown in the report, as it is")
    parser.add_argument(
        "--looks",
        type=number,
        default=1.0,
        metavar="N",
        help="so many looks share the false claims (default: 1)",
    )
    parser.add_argument("--name", help="folder of the report under results/reports/")
    options.add_arguments(parser)
    parser.add_argument("--each", action="store_true", help="each named run for itself")
    parser.add_argument(
        "--if-both", action="store_true", help="say so and exit 0 where the newest run has no counterpart"
    )


def add_minimum_effect(parser: argparse.ArgumentParser) -> None:
    """The option of whatever claims a change."""
    parser.add_argument(
        "--minimum-effect",
        "--matters",  # as it was called before
        dest="minimum_effect",
        type=float,
        default=MINIMUM_EFFECT,
        metavar="PCT",
        help="smaller changes are not claimed (default: 3 %%)",
    )


def checked_minimum_effect(percent: float) -> float:
    """The minimum effect size, as --minimum-effect gives it. Raises UsageError."""
    if not (math.isfinite(percent) and 0 <= percent < 100):
        raise UsageError(f"--minimum-effect {percent}: must be a percentage from 0 to below 100")
    return percent


def run(arguments: argparse.Namespace) -> int:
    """Write one report. Exit code 0; 2 with one line for what the user got wrong; 7: the gate failed."""
    results, minimum_effect = results_folder(), checked_minimum_effect(arguments.minimum_effect)
    options.check(arguments)
    if arguments.if_both and not arguments.runs and (missing := _missing(arguments, results)):
        print(shown(missing))
        return 0
    chosen = _select(arguments, results)
    runs = [load_run(folder) for folder in chosen.folders]
    if arguments.each:
        runs = _for_itself(runs)
        chosen = replace(chosen, baseline=runs[0].manifest.variant)
    name = _name(arguments.name, chosen, runs)
    folder = results / "reports" / name
    comparison = assemble(
        runs,
        baseline=chosen.baseline,
        minimum_effect=minimum_effect / 100,
        floors=_floors(arguments),
        labels=labels_of(arguments.label),
        note=arguments.note,
        name=name,
        command=_command(chosen, minimum_effect, name, arguments, results),
        not_applied=chosen.not_applied,
        looks=max(arguments.looks, 1.0),
        known_runs=index(results)[0],
        written_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    write(comparison, runs, folder)
    point_latest(results, folder)
    console = console_of(WIDTH)
    show(comparison, console)
    console.print(
        Text(f"{folder}/: {', '.join(sorted(path.name for path in folder.iterdir()))}", style="dim"),
        soft_wrap=True,
    )
    if not (arguments.fail_on or arguments.junit or arguments.summary):
        return 0
    return options.conclude(
        of_comparison(comparison, arguments.fail_on, first_screen.setup(comparison)), arguments
    )


def write(comparison: Comparison, runs: list[Run], folder: Path) -> None:
    """comparison.json and the report's pages into a folder, made when it is not there."""
    from reports.pages.render import render

    records = [
        File(path=f"{os.path.relpath(run.folder, folder)}/", what=f"records of {run.manifest.variant}")
        for run in runs
        if run.folder is not None
    ]
    more = {"files": [*comparison.files, *records], "first_screen": first_screen.describe(comparison)}
    comparison = comparison.model_copy(update=more)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / COMPARISON, comparison.model_dump_json(indent=2) + "\n")
        render(comparison, without(comparison.excluded, runs), folder)
    except OSError as error:
        raise UsageError(
            f"{folder}: the report cannot be written: {error.strerror}; free space, or rights?"
        ) from None


def point_latest(results: Path, folder: Path) -> None:
    """results/latest becomes a relative link to the report's folder, in one step."""
    latest, fresh = results / "latest", results / f".latest.{os.getpid()}"
    if latest.exists() and not latest.is_symlink():
        raise UsageError(f"{latest}: is no link, so it cannot point to the new report {folder}; move it away")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    fresh.symlink_to(folder.relative_to(results))
    fresh.replace(latest)


def show(comparison: Comparison, console: Console) -> None:
    """Print the verdicts, the results table and the conclusion."""
    for run in comparison.runs:
        console.print(Text(f"{run.variant}: {run.run} {run.verdict}"))
    for run in comparison.excluded:
        console.print(
            Text(f"{run.variant}: {run.run} {run.verdict}, excluded: {because(run)}", style="yellow")
        )
    for variant in comparison.variants:
        if not variant.applied:
            console.print(Text(f"{variant.name}: {variant.result}", style="magenta"))
    others = [
        variant.name
        for variant in comparison.variants
        if variant.runs and variant.name != comparison.baseline
    ]
    for other in others:
        intervals = console.width >= INTERVALS_FROM
        console.print(results_table(comparison, other, intervals))
        if not intervals:
            console.print(Text("the intervals stand in the report: no room for them here", style="dim"))
        for reason in shared_reasons(comparison, other):
            console.print(Text(f"not comparable: {reason}", style="magenta"))
    warnings = {
        change.warning for metric in comparison.metrics for change in metric.changes if change.warning
    }
    for warning in sorted(warnings):
        console.print(Text(f"(!) {warning}", style="yellow"))
    for text in dict.fromkeys(method.text for method in comparison.methods):
        console.print(Text(text, style="dim"))
    show_decision(comparison, console)


def show_decision(comparison: Comparison, console: Console) -> None:
    """The first screen, as the last lines of a terminal."""
    if comparison.audit is not None:
        console.print(Text(f"\n{comparison.audit.title}.", style="bold"))
        console.print(Text(comparison.audit.paragraph))
        for line in comparison.audit.limits:
            console.print(Text(line))
        show_next(comparison.recommendations[0], console)
        return
    screen = first_screen.describe(comparison)
    console.print(Text(f"\n{screen.title}.", style="bold"))
    if screen.rows and screen.variant:
        console.print(_few_rows(screen))
    for each in screen.lines:
        console.print(Text(f"{each.lead}: {each.text}".removeprefix(": "), style="dim"))
    show_next(screen.next, console)


def show_next(step: Recommendation | None, console: Console) -> None:
    """What to do next, with its command in a line of its own, to be copied."""
    if step is None:
        return
    console.print(Text(f"Next: {step.text}", style="bold"))
    for line in (step.command or "").splitlines():
        console.print(Text(f"  {line}", style="bold"), soft_wrap=True)


def _few_rows(screen: FirstScreen) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for heading in ("", screen.baseline, screen.variant or "", "change", " "):
        table.add_column(heading, justify="right" if heading.strip() else "left", no_wrap=True)
    for each in screen.rows:
        label = f"{each.label}, {each.unit}" if each.unit else each.label
        table.add_row(*(Text(text) for text in (label, each.before, each.after, each.change, each.mark)))
    return table


def results_table(comparison: Comparison, other: str, intervals: bool = True) -> Table:
    """Baseline, other, change, interval, mark. "(!)" marks what a saturated run's duration decides."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    headings = [comparison.baseline, other, "", "change"]
    headings += [f"{comparison.sure} interval"] if intervals else []
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "" else "right", no_wrap=True)
    table.add_column("")
    shared = shared_reasons(comparison, other)
    for metric in comparison.metrics:
        before = next(each for each in metric.readings if each.variant == comparison.baseline)
        after = next(each for each in metric.readings if each.variant == other)
        change = next(each for each in metric.changes if each.variant == other)
        mark = Text(
            first_screen.mark_of(metric, change, comparison.minimum_effect)[0][2:],
            style=_COLOURS.get(change.mark, "dim"),
        )
        if change.mark in ("unstable", "not comparable") and change.reason not in shared:
            mark.append(f": {change.reason}", style="dim")
        if change.warning:
            mark.append(" (!)", style="yellow")
        figures = [before.display, after.display, metric.display_unit, change.display]
        figures += [change.display_interval] if intervals else []
        table.add_row(metric.label, *(Text(figure) for figure in figures), mark)
    return table


def _others(arguments: argparse.Namespace) -> list[str]:
    asked = [part.strip() for part in (arguments.variants or "").split(",") if part.strip()]
    baseline = arguments.baseline or "baseline"
    return [name for name in dict.fromkeys(asked or DEFAULT_OTHERS) if name != baseline]


def _missing(arguments: argparse.Namespace, results: Path) -> str | None:
    """A line about the variants that have no finished run, or none to compare the newest with; or None."""
    baseline = arguments.baseline or "baseline"
    names = [baseline, *_others(arguments)]
    present = variants_present(names, results)
    missing = [name for name in names if name not in present]
    if not missing:
        return without_counterpart(baseline, _others(arguments), results)
    have = f"only {' and '.join(present)} has" if present else "no variant has"
    next_step = f"`{how_to_run(missing[0], baseline)}` adds {missing[0]}"
    return f"No comparison yet: {have} a finished run in {results}; {next_step}."


def _select(arguments: argparse.Namespace, results: Path) -> Selection:
    if arguments.runs:
        if arguments.variants:
            raise UsageError(
                "--variants chooses the newest runs, so it cannot stand beside named runs; leave one out"
            )
        chosen = named_runs(arguments.runs, arguments.baseline, results)
        if not chosen.folders:
            raise UsageError("none of the runs named was served; there is nothing to report")
        return chosen
    others = _others(arguments)
    if not others:
        raise UsageError("--variants names only the baseline; name another variant")
    return newest_runs(arguments.baseline or "baseline", others, results, arguments.if_both)


def _name(asked: str | None, chosen: Selection, runs: list[Run]) -> str:
    """The report's folder: as asked, else from the newest run's name and the variants."""
    if asked is not None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", asked):
            raise UsageError(f"--name {asked!r}: letters, digits, '.', '_' and '-' only, at most 100")
        return asked
    others = list(
        dict.fromkeys(run.manifest.variant for run in runs if run.manifest.variant != chosen.baseline)
    )
    newest = max(run.name for run in runs).split("-")[0]
    against = "alone" if not others else f"vs-{others[0]}" if len(others) == 1 else f"vs-{len(others)}-others"
    repeats = f"-x{len(runs)}" if len(runs) > len(others) + 1 else ""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{newest}-{chosen.baseline}-{against}{repeats}")[:100]


def _for_itself(runs: Sequence[Run]) -> list[Run]:
    """Each run as a variant of its own, named after both; the run by the name that its user gave it."""
    names = [run.manifest.labels.get("name") or run.name for run in runs]
    if len(set(names)) < len(names):
        names = [run.name for run in runs]
    told = [f"{run.manifest.variant} ({name})" for run, name in zip(runs, names, strict=True)]
    return [
        replace(run, manifest=run.manifest.model_copy(update={"variant": variant}))
        for run, variant in zip(runs, told, strict=True)
    ]


def _floors(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds, by metric. Raises UsageError."""
    given = {metric: getattr(arguments, f"floor_{metric}") for metric in FLOORS}
    for metric, value in given.items():
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"--floor-{metric} {value}: must be milliseconds from 0 on")
    ttft, tpot = given["ttft"] / 1000, given["tpot"] / 1000
    return {"ttft": ttft, "latency": ttft, "tpot": tpot, "itl": tpot}


def labels_of(given: list[str]) -> dict[str, str]:
    """--label KEY=VALUE or a name, as often as given. Raises UsageError."""
    texts = [text if "=" in text else f"name={text}" for text in given]
    for text in texts:
        if not re.fullmatch(r"[^=]{1,60}=.{1,200}", text):
            raise UsageError(f"--label {text}: write KEY=VALUE, the key of at most 60 characters")
    return dict(text.split("=", 1) for text in texts)


def _command(
    chosen: Selection, minimum_effect: float, name: str, arguments: argparse.Namespace, results: Path
) -> str:
    here = results.resolve()
    folders = [
        folder.name if folder.resolve().parent == here else str(folder.resolve()) for folder in chosen.folders
    ]
    folders += [one.folder for one in chosen.not_applied]
    first = ["--each"] if arguments.each else ["--baseline", chosen.baseline]
    parts = [*folders, *first, "--minimum-effect", f"{minimum_effect:g}"]
    for metric in FLOORS:
        if (floor := getattr(arguments, f"floor_{metric}")) != 1000 * claims.FLOORS[metric]:
            parts += [f"--floor-{metric}", f"{floor:g}"]
    parts += [word for text in arguments.label for word in ("--label", text)]
    parts += ["--looks", f"{arguments.looks:.6g}"] if arguments.looks > 1 else []
    parts += ["--note", arguments.note] if arguments.note else []
    parts += ["--name", name]
    return f"tokenswarm report {shlex.join(parts)}"

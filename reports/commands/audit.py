"""`tokenswarm audit FILE…`: another tool's result files, and what it claimed of them."""

import argparse
import datetime
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.text import Text

from common.results import results_folder
from common.usage import UsageError
from loadgen.records.metrics import METRICS
from reports.commands.assembly import assemble
from reports.commands.compare import (
    WIDTH,
    add_minimum_effect,
    checked_minimum_effect,
    point_latest,
    show,
    write,
)
from reports.comparison import comparability
from reports.document.audit import Audit, Untold
from reports.document.decision import Recommendation
from reports.document.schema import Comparison, File
from reports.findings import make_command
from reports.findings.audit_claims import check_claims
from reports.findings.audit_definitions import same_figures
from reports.findings.audit_words import limit_lines, paragraph, title
from reports.metrics.catalogue import ROWS
from reports.runs.conditions import incomparable
from reports.runs.importers.imported import Imported
from reports.runs.importers.reader import read
from reports.runs.runs import Run
from reports.text import escape
from reports.text.console import console_of
from reports.text.formatting import listed

TOGETHER = 0.05  # share by which the load of two files may differ in length to be held against each other
LONGEST_LABEL = 60  # characters
MOST_RESULTS = 50  # of one file, each of which gets a report of its own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="a result file of another tool (also .gz, or its folder; FILE#2 is the second result in it); "
        "two are compared, the first being the baseline",
    )
    parser.add_argument(
        "--label", action="append", default=[], help="what to call a file, once for each (default: its name)"
    )
    add_minimum_effect(parser)
    parser.add_argument("--name", help="folder of the report under results/reports/")


def run(arguments: argparse.Namespace) -> int:
    """Write a report; of a file with several results one for each. Exit code 2 for what cannot be audited."""
    effect, results = checked_minimum_effect(arguments.minimum_effect), results_folder()
    name = _name(arguments.name, arguments.files)
    audits = read_files(arguments.files, arguments.label)
    for number, found in enumerate(audits, 1):
        folder = results / "reports" / (name if len(audits) == 1 else f"{name}-{number}")
        files = shlex.join(str(path) for path in arguments.files)
        labels = "".join(f" --label {shlex.quote(each)}" for each in arguments.label)
        command = f"tokenswarm audit {files}{labels} --minimum-effect {effect:g} --name {name}"
        _write(found, effect / 100, folder, command)
        point_latest(results, folder)
    return 0


def _write(found: Sequence[Imported], minimum_effect: float, folder: Path, command: str) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    comparison, runs = audit(found, minimum_effect, folder.name, command, now)
    write(comparison, runs, folder)
    console = console_of(WIDTH)
    show(comparison, console)
    written = ", ".join(sorted(path.name for path in folder.iterdir()))
    console.print(Text(f"{folder}/: {written}", style="dim"), soft_wrap=True)


def read_files(paths: Sequence[Path], labels: Sequence[str] = ()) -> list[list[Imported]]:
    """The audits to write: one of two files, or one of each result of a single file. Raises UsageError."""
    if len(paths) > 2:
        raise UsageError(f"{len(paths)} files: give one, or two (the baseline first)")
    if len(labels) > len(paths):
        raise UsageError(f"--label: {len(labels)} of them for {len(paths)} files")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"{paths[0]}: named twice; a file cannot be compared with itself")
    found = [_results(path) for path in paths]
    if len(paths) == 1:
        if len(found[0]) > MOST_RESULTS:
            raise UsageError(f"{paths[0]}: holds {len(found[0])} results; name one: {paths[0]}#1")
        return [[each] for each in _labelled([found[0]], labels)]
    for path, results in zip(paths, found, strict=True):
        if len(results) > 1:
            raise UsageError(f"{path}: holds {len(results)} results; name one of them: {path}#1")
    return [_labelled(found, labels)]


def _results(path: Path) -> list[Imported]:
    """The results of a file, or the one that `FILE#2` names."""
    match = re.fullmatch(r"(.+)#([0-9]{1,6})", str(path))
    if match is None or path.exists():
        return read(path)
    found, number = read(Path(match[1])), int(match[2])
    if not 1 <= number <= len(found):
        raise UsageError(f"{match[1]}: holds {len(found)} results, and no number {number}")
    return [found[number - 1]]


def _labelled(found: Sequence[Sequence[Imported]], labels: Sequence[str]) -> list[Imported]:
    """Each result by the label that was given, else by its file's name; with its folder's where two agree."""
    for name in _NAMINGS:
        stems = [name(results[0]) for results in found]
        if len(set(stems)) == len(stems):
            break
    names = [*labels, *stems[len(labels) :]]
    if len(set(names)) < len(names):
        raise UsageError(f"--label {names[0]}: names both files; give each a name of its own")
    return [
        replace(each, label=escape.clean(name if len(results) == 1 else f"{name} #{number}")[-LONGEST_LABEL:])
        for name, results in zip(names, found, strict=True)
        for number, each in enumerate(results, 1)
    ]


def _stem(path: Path) -> str:
    """The file's name without what says its kind."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name


_NAMINGS: tuple[Callable[[Imported], str], ...] = (  # the first that tells two files apart
    lambda each: _stem(each.path),
    lambda each: f"{each.path.resolve().parent.name}/{_stem(each.path)}",
    lambda each: f"{_stem(each.path)} ({each.tool})",
    lambda each: str(each.path),
)


def audit(
    found: Sequence[Imported], minimum_effect: float, name: str, command: str, written_at: str | None = None
) -> tuple[Comparison, list[Run]]:
    """The report of the files and the runs that it rests on. `minimum_effect` is a fraction."""
    runs = as_runs(found)
    comparison = assemble(
        runs,
        baseline=runs[0].manifest.variant,
        minimum_effect=minimum_effect,
        name=name,
        command=command,
        written_at=written_at,
    )
    apart = _apart(runs, minimum_effect) if len(runs) > 1 else None
    checks = check_claims(found, runs, comparison, apart)
    part = Audit(
        tool=_tools(found),
        title=title(found, runs, checks, apart),
        files=[str(each.path) for each in found],
        paragraph=paragraph(found, runs, comparison, checks, apart),
        limits=limit_lines(found, runs),
        checks=checks,
        same=same_figures(found, runs, minimum_effect),
        notes=_notes(found, runs),
        untold=_untold(runs),
    )
    changes = {"audit": part, "title": part.title, "files": _files(comparison)}
    return comparison.model_copy(update=changes | {"recommendations": _advice(runs)}), runs


def as_runs(found: Sequence[Imported]) -> list[Run]:
    """The files as runs. Two whose arrivals took nearly the same time share one window."""
    spans = [each.span for each in found]
    if len(found) > 1 and all(each.timed for each in found) and max(spans) <= (1 + TOGETHER) * min(spans):
        spans = [max(spans)] * len(spans)
    names = [each.path.name for each in found]
    if len(set(names)) < len(names):
        names = [f"{each.path.resolve().parent.name}/{each.path.name}" for each in found]
    if len(set(names)) < len(names):
        names = [str(each.path) for each in found]
    if len({each.tool for each in found}) > 1:
        found = _as_one_load(found)
    return [one.run(one.label, name, span) for one, name, span in zip(found, names, spans, strict=True)]


def _as_one_load(found: Sequence[Imported]) -> list[Imported]:
    """Files of two tools, with what both of them say of their load: their words for it differ."""
    said = [{"rate": each.asked.get("rate"), "arrivals": _process(each)} for each in found]
    both = {key for key in ("rate", "arrivals") if all(each[key] is not None for each in said)}
    return [
        replace(each, asked={key: value for key, value in one.items() if key in both}, ran="each tool")
        for each, one in zip(found, said, strict=True)
    ]


def _process(found: Imported) -> str | None:
    arrivals = found.asked.get("arrivals")
    return arrivals.get("process") if isinstance(arrivals, dict) else arrivals


def _apart(runs: Sequence[Run], minimum_effect: float) -> str | None:
    """In what the loads of two files differ, as asked or as they came; None where they do not."""
    return incomparable(runs[:1], runs[1:]) or comparability.apart(
        comparability.differences(runs[:1], runs[1:], minimum_effect)
    )


def _tools(found: Sequence[Imported]) -> str:
    """'GuideLLM 0.8.1', or of two 'AIPerf 0.13.0 and vllm bench serve'."""
    names = [
        f"{each.tool} {escape.clean(each.version)[:20]}" if each.version else each.tool for each in found
    ]
    return listed(list(dict.fromkeys(names)))


def _notes(found: Sequence[Imported], runs: Sequence[Run]) -> list[str]:
    """The notes of each file, said once where they are the same."""
    notes: dict[str, list[str]] = {}
    for each, one in zip(found, runs, strict=True):
        for note in each.notes:
            notes.setdefault(note, []).append(one.name)
    return [note if len(names) == len(found) else f"{names[0]}: {note}" for note, names in notes.items()]


def _untold(runs: Sequence[Run]) -> list[Untold]:
    labels = {row.name: row.label for row in ROWS} | {name: each.label for name, each in METRICS.items()}
    told: dict[str, str] = {}
    for one in runs:
        told |= {labels.get(name, name): why for name, why in one.limits.figures.items()}
        told |= {f"rule {name}": why for name, why in one.limits.rules.items()}
    told["the server's side"] = "the file holds nothing of the server's metrics, command or hardware"
    by_reason: dict[str, list[str]] = {}
    for what, why in told.items():
        by_reason.setdefault(why, []).append(what)
    return [Untold(what=", ".join(names), why=why) for why, names in by_reason.items()]


def _files(comparison: Comparison) -> list[File]:
    return [each for each in comparison.files if not each.path.startswith("../")]


def _advice(runs: Sequence[Run]) -> list[Recommendation]:
    """What was left open can only be measured anew: at the file's rate, where it tells one."""
    again = make_command.conditions(runs[0])
    rate = "offered_rate" not in runs[0].limits.figures and again.rate
    command = make_command.run_all(
        ["baseline", "optimized"][: len(runs)], *([f"RPS={rate:.3g}"] if rate else [])
    )
    anew = Recommendation(
        text="Measure it again in open loop, with every arrival recorded and the drain bounded.",
        reason="A result file cannot be asked again: what it does not tell stays unknown.",
        command=command,
    )
    return make_command.under_same_conditions([anew], again)


def _name(asked: str | None, paths: Sequence[Path]) -> str:
    """The report's folder: as asked, else from the files' names."""
    if asked is not None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", asked):
            raise UsageError(f"--name {asked!r}: letters, digits, '.', '_' and '-' only, at most 100")
        return asked
    stems = "-vs-".join(path.name.removesuffix(".gz").rsplit(".", 1)[0] for path in paths)
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"audit-{stems}")[:100]

"""`python -m reports audit FILE…`: another tool's result files, and what it claimed of them."""

import argparse
import datetime
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from common.results import results_folder
from common.usage import UsageError
from reports.commands.assembly import assemble
from reports.commands.compare import MATTERS, WIDTH, checked_matters, point_latest, show, write
from reports.comparison import comparability
from reports.comparison.resampling import ROWS
from reports.document.schema import Audit, Comparison, File, Recommendation, Untold
from reports.findings.audit_claims import check_claims
from reports.findings.audit_words import limit_lines, paragraph
from reports.runs.conditions import incomparable
from reports.runs.importers.foreign import Foreign, read_json
from reports.runs.importers.harness import is_harness, read_harness
from reports.runs.importers.vllm import is_vllm, read_vllm
from reports.runs.runs import Run

PAIR = ("baseline", "optimized")
TOGETHER = 0.05  # share by which the load of two files may differ in length to be held against each other


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="a result of vllm bench serve --save-result --save-detailed, or of the harness; two of a kind "
        "are compared, the baseline first",
    )
    parser.add_argument(
        "--matters",
        type=float,
        default=MATTERS,
        metavar="PCT",
        help="smaller differences do not count (default: 3 %%)",
    )
    parser.add_argument("--name", help="folder of the report under results/reports/")


def run(arguments: argparse.Namespace) -> int:
    """Write one report. Exit code 0; 2 with one line for files that cannot be audited."""
    matters, results = checked_matters(arguments.matters), results_folder()
    found = read_files(arguments.files)
    name = _name(arguments.name, arguments.files)
    command = (
        f"python -m reports audit {shlex.join(map(str, arguments.files))} --matters {matters:g} --name {name}"
    )
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    comparison, runs = audit(found, matters / 100, name, command, now)
    folder = results / "reports" / name
    write(comparison, runs, folder)
    point_latest(results, folder)
    console = Console() if os.isatty(1) else Console(width=WIDTH)
    assert comparison.audit is not None
    console.print(Text(f"{comparison.audit.paragraph}\n"))
    show(comparison, console)
    written = ", ".join(sorted(path.name for path in folder.iterdir()))
    console.print(Text(f"{folder}/: {written}", style="dim"), soft_wrap=True)
    return 0


def read_files(paths: Sequence[Path]) -> list[Foreign]:
    """One file, or two of a kind. Raises UsageError."""
    if len(paths) > 2:
        raise UsageError(f"{len(paths)} files: give one, or two of a kind (the baseline first)")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"{paths[0]}: named twice; a file cannot be compared with itself")
    found = [read_file(path) for path in paths]
    if len({each.tool for each in found}) > 1:
        raise UsageError(
            f"{paths[1]}: written by {found[1].tool}, {paths[0]} by {found[0].tool}; audit each by itself"
        )
    return found


def read_file(path: Path) -> Foreign:
    """One result file of a kind that is known. Raises UsageError."""
    found = read_json(path)
    if is_harness(found):
        return read_harness(path, found)
    if is_vllm(found):
        return read_vllm(path, found)
    raise UsageError(
        f"{path}: neither a result of vllm bench serve (start_times, ttfts, itls, …) nor of the harness "
        "(config, metrics, records)"
    )


def audit(
    found: Sequence[Foreign], matters: float, name: str, command: str, written_at: str | None = None
) -> tuple[Comparison, list[Run]]:
    """The report of the files and the runs that it rests on. `matters` is a fraction."""
    runs = as_runs(found)
    comparison = assemble(
        runs,
        baseline=runs[0].manifest.variant,
        matters=matters,
        name=name,
        command=command,
        written_at=written_at,
    )
    apart = _apart(runs, matters) if len(runs) > 1 else None
    checks = check_claims(found, runs, comparison, apart)
    part = Audit(
        tool=found[0].tool,
        files=[str(each.path) for each in found],
        paragraph=paragraph(found, runs, comparison, checks, apart),
        limits=limit_lines(found, runs),
        checks=checks,
        notes=_notes(found, runs),
        untold=_untold(runs),
    )
    changes = {"audit": part, "files": _files(comparison), "recommendations": _advice(runs)}
    return comparison.model_copy(update=changes), runs


def as_runs(found: Sequence[Foreign]) -> list[Run]:
    """The files as runs. Two whose arrivals took nearly the same time share one window."""
    spans = [each.span for each in found]
    if len(found) == 1:
        return [found[0].run(found[0].path.stem, found[0].path.name, spans[0])]
    if all(each.timed for each in found) and max(spans) <= (1 + TOGETHER) * min(spans):
        spans = [max(spans)] * len(spans)
    names = [each.path.name for each in found]
    if len(set(names)) < len(names):
        names = [f"{each.path.resolve().parent.name}/{each.path.name}" for each in found]
    if len(set(names)) < len(names):
        names = [str(each.path) for each in found]
    each = zip(found, PAIR, names, spans, strict=True)
    return [one.run(variant, name, span) for one, variant, name, span in each]


def _apart(runs: Sequence[Run], matters: float) -> str | None:
    """In what the loads of two files differ, as asked or as they came; None where they do not."""
    return incomparable(runs[:1], runs[1:]) or comparability.apart(
        comparability.differences(runs[:1], runs[1:], matters)
    )


def _notes(found: Sequence[Foreign], runs: Sequence[Run]) -> list[str]:
    """The notes of each file, said once where they are the same."""
    notes: dict[str, list[str]] = {}
    for each, one in zip(found, runs, strict=True):
        for note in each.notes:
            notes.setdefault(note, []).append(one.name)
    return [note if len(names) == len(found) else f"{names[0]}: {note}" for note, names in notes.items()]


def _untold(runs: Sequence[Run]) -> list[Untold]:
    labels = {row.name: row.label for row in ROWS} | {
        row.metric: row.label.rsplit(" ", 1)[0] for row in ROWS if row.metric
    }
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
    """What was left open can only be measured anew."""
    variants = "make baseline optimized" if len(runs) > 1 else "make baseline"
    return [
        Recommendation(
            text="Measure it again in open loop, with every arrival recorded and the drain bounded.",
            reason="A result file cannot be asked again: what it does not tell stays unknown.",
            command=variants,
        )
    ]


def _name(asked: str | None, paths: Sequence[Path]) -> str:
    """The report's folder: as asked, else from the files' names."""
    if asked is not None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", asked):
            raise UsageError(f"--name {asked!r}: letters, digits, '.', '_' and '-' only, at most 100")
        return asked
    stems = "-vs-".join(path.stem for path in paths)
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"audit-{stems}")[:100]

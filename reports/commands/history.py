"""All runs in one table, the newest first: from their manifests and summaries, no records are read."""

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence

from common.results import results_folder
from common.terminal import shown
from common.usage import UsageError
from reports.runs.index import Entry, Unreadable, index
from reports.text import formatting

SHOWN = ("output_token_throughput", "completed_rate", "ttft_p50", "ttft_p99", "tpot_p50", "latency_p50")
LEFT = ("run", "variant", "target", "scenario", "verdict")
HEADINGS = (
    *("run", "variant", "target", "scenario", "seed", "verdict", "due", "done", "fail", "unfin", "lost"),
    *("tok/s", "req/s", "TTFT p50", "TTFT p99", "TPOT p50", "latency p50"),
)
# On a terminal too narrow for all, from the first; the run's name has the variant, and a file has all.
EXCLUDED = (
    *("variant", "seed", "target", "lost", "latency p50", "TTFT p50", "fail", "unfin", "scenario", "due"),
    *("req/s", "done"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--variant", metavar="V", help="only runs of this variant")
    parser.add_argument("--limit", type=int, metavar="N", help="only the newest N")


def run(arguments: argparse.Namespace) -> int:
    """Print the table of all runs."""
    results = results_folder()
    if not results.is_dir():
        raise UsageError(f"{results}: no results yet; `make baseline` makes the first run")
    if arguments.limit is not None and arguments.limit < 1:
        raise UsageError(f"--limit {arguments.limit}: must be 1 or more")
    runs, unreadable = index(results)
    rows = [run for run in runs if arguments.variant in (None, run.manifest.variant)]
    problems = [] if arguments.variant else unreadable
    if not rows and not problems:
        print(f"No runs in {results} yet; `make baseline` makes the first.")
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in _lines(rows[: arguments.limit], problems, width):
        print(shown(line))
    print(f"{len(rows) + len(problems)} runs. Percentiles are over all arrivals of the window, in ms.")
    return 0


def _lines(runs: Sequence[Entry], problems: Sequence[Unreadable], width: int | None = None) -> Iterator[str]:
    """A table as plain lines: names stay whole, and thousands of rows take no time to lay out.

    `width`: the terminal's; columns that it has no room for are excluded, and named.
    """
    rows, broken = [], list(problems)
    for each in runs:
        try:
            rows.append(_cells(each))
        except UsageError as error:
            broken.append(Unreadable(each.run, str(error)))
    cells = [list(HEADINGS), *rows]
    longest = (max(map(len, column)) for column in zip(*cells, strict=True))
    widths = dict(zip(HEADINGS, longest, strict=True))
    out = _excluded(widths, width)
    for name in out:
        del widths[name]
    yield _line(HEADINGS, widths)
    for row in rows:
        yield _line(row, widths)
    for problem in broken:
        yield f"{problem.run}  unreadable: {problem.problem}"
    if out:
        yield f"No room for: {', '.join(out)}; a wider terminal or a file (make history > FILE) has all."


def _excluded(widths: dict[str, int], width: int | None) -> list[str]:
    """The columns that go, so that the others fit."""
    out: list[str] = []
    for name in EXCLUDED:
        shown = [size for heading, size in widths.items() if heading not in out]
        if width is None or sum(shown) + 2 * (len(shown) - 1) <= width:
            break
        out.append(name)
    return out


def _line(cells: Sequence[str], widths: dict[str, int]) -> str:
    padded = [
        cell.ljust(widths[heading]) if heading in LEFT else cell.rjust(widths[heading])
        for cell, heading in zip(cells, HEADINGS, strict=True)
        if heading in widths
    ]
    return "  ".join(padded).rstrip()


def _cells(entry: Entry) -> list[str]:
    manifest, accounting = entry.manifest, entry.summary.accounting
    names = (entry.run, manifest.variant, manifest.target, manifest.scenario_name, manifest.seed)
    counts = [accounting.get(key) for key in ("due", "completed", "failed", "unfinished", "lost")]
    if counts[2] is not None:
        counts[2] += accounting.get("empty", 0)
    values = [*names, entry.summary.verdict or "not judged", *counts]
    return ["-" if value is None else str(value) for value in values] + list(_figures(entry.summary.metrics))


def _figures(metrics: Mapping[str, float | None]) -> Iterator[str]:
    for name in SHOWN:
        value = metrics.get(name)
        unit = "tok/s" if name in SHOWN[:2] else "ms"
        yield "-" if value is None else formatting.number(value, unit)

"""All runs in one table: an index in DuckDB over their manifests and summaries.

The index (results/index.duckdb) is only a cache: it is brought up to date by the files' times whenever
it is used, and `--rebuild` makes it anew. Records are never read.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from common.former_names import renamed
from common.results import MANIFEST, SUMMARY, results_folder
from common.usage import UsageError
from reports.runs.conditions import conditions, named
from reports.runs.runs import Run, read_manifest
from reports.runs.selection import without_records
from reports.text import formatting
from reports.text.escape import clean

INDEX = "index.duckdb"
VERSION = 3  # of the table below; another one makes a rebuild
_LOCK_WAIT = 5.0  # seconds to wait for another process that holds the index
COLUMNS = {
    "run": "VARCHAR",
    "stamp": "VARCHAR",  # sizes and times of the two files, to see whether they changed
    "problem": "VARCHAR",  # why the folder cannot be read; the rest is then empty
    "variant": "VARCHAR",
    "target": "VARCHAR",
    "scenario": "VARCHAR",
    "scenario_hash": "VARCHAR",
    "rate": "DOUBLE",
    "seed": "BIGINT",
    "window_s": "DOUBLE",
    "started_at": "VARCHAR",
    "ended": "VARCHAR",
    "verdict": "VARCHAR",
    "due": "BIGINT",
    "completed": "BIGINT",
    "failed": "BIGINT",
    "unfinished": "BIGINT",
    "lost": "BIGINT",
    "conditions": "VARCHAR",  # JSON
    "metrics": "VARCHAR",  # JSON: name to value, seconds
}
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
Row = dict[str, Any]


def history(results: Path, rebuild: bool = False) -> list[Row]:
    """Every run under `results`, the newest first, as rows of COLUMNS; JSON columns decoded.

    A damaged index is made anew: it is only a cache, and no report may fail for it.
    """
    try:
        return _rows(results, rebuild)
    except duckdb.Error:
        pass
    try:
        return _rows(results, rebuild=True)
    except duckdb.Error as error:
        text = " ".join(str(error).split())[:160]
        raise UsageError(f"{results / INDEX}: cannot be made anew: {text}; free space, or rights?") from None


def _rows(results: Path, rebuild: bool) -> list[Row]:
    with _index(results, rebuild) as index:
        _refresh(index, results)
        names = [name for name in COLUMNS if name != "stamp"]
        found = index.execute(
            f"SELECT {', '.join(names)} FROM runs ORDER BY started_at DESC NULLS LAST, run DESC"
        ).fetchall()
    rows = [dict(zip(names, values, strict=True)) for values in found]
    for row in rows:
        row["conditions"] = json.loads(row["conditions"] or "{}")
        row["metrics"] = json.loads(row["metrics"] or "{}")
    return rows


def earlier_runs(rows: Sequence[Row], newest: Run, limit: int = 10) -> list[tuple[Row, list[str]]]:
    """The variant's runs that started before `newest` on its target, newest first, with what differs."""
    now, manifest = conditions(newest), newest.manifest
    before = [
        row
        for row in rows
        if row["problem"] is None
        and row["variant"] == manifest.variant
        and row["target"] == manifest.target
        and row["run"] != newest.name
        and (row["started_at"] or "") <= (manifest.started_at or "")
    ]
    return [(row, named(now, row["conditions"])) for row in before[:limit]]


@contextmanager
def _index(results: Path, rebuild: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    path = results / INDEX
    # Runs may be named that lie elsewhere. Where it cannot be made, opening says what is wrong.
    with contextlib.suppress(OSError):
        results.mkdir(parents=True, exist_ok=True)
    if rebuild:
        for stale in (path, path.with_name(f"{INDEX}.wal")):
            stale.unlink(missing_ok=True)
    connection = _connect(path)
    try:
        known = connection.execute("SELECT table_name FROM information_schema.tables").fetchall()
        version = connection.execute("SELECT version FROM form").fetchone() if ("form",) in known else None
        if version != (VERSION,):
            columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
            connection.execute(f"CREATE OR REPLACE TABLE runs ({columns})")
            connection.execute(f"CREATE OR REPLACE TABLE form AS SELECT {VERSION} AS version")
        yield connection
    finally:
        connection.close()


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + _LOCK_WAIT
    while True:
        try:
            return duckdb.connect(str(path))
        except duckdb.Error as error:
            if _locked(error) and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            if path.is_file() and os.access(path, os.R_OK | os.W_OK) and not _locked(error):
                raise  # damaged
            text = " ".join(str(error).split())[:160]
            raise UsageError(f"{path}: cannot be opened: {text}") from None


def _locked(error: duckdb.Error) -> bool:
    return "set lock on file" in str(error)


def _refresh(index: duckdb.DuckDBPyConnection, results: Path) -> None:
    """Bring the index up to date: rows for new and changed folders, none for those that are gone."""
    present = dict(_run_folders(results))
    known = dict(index.execute("SELECT run, stamp FROM runs").fetchall())
    changed = [name for name, stamp in present.items() if known.get(name) != stamp]
    stale = [name for name in known if known[name] != present.get(name)]
    if stale:
        index.execute("DELETE FROM runs WHERE run IN (SELECT unnest(?))", [stale])
    if changed:
        rows = [_row(results / name, present[name]) for name in changed]
        columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
        kinds = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64()}
        incoming = pa.table({name: pa.array(columns[name], kinds[COLUMNS[name]]) for name in COLUMNS})
        index.register("incoming", incoming)
        index.execute("INSERT INTO runs SELECT * FROM incoming")
        index.unregister("incoming")


def _run_folders(results: Path) -> Iterator[tuple[str, str]]:
    """(folder name, stamp) of every folder with a manifest."""
    if not results.is_dir():
        return
    with os.scandir(results) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                manifest = _stamp(Path(entry.path) / MANIFEST)
                if manifest:
                    yield entry.name, f"{manifest} {_stamp(Path(entry.path) / SUMMARY)}"


def _stamp(path: Path) -> str | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_mtime_ns}:{status.st_size}"


def _row(folder: Path, stamp: str) -> Row:
    row: Row = {"run": folder.name, "stamp": stamp}
    try:
        opened = without_records(read_manifest(folder), folder)
        summary = _summary(folder / SUMMARY)
    except UsageError as error:
        return row | {"problem": str(error)}
    manifest, found = opened.manifest, conditions(opened)
    rate = found["rate"]
    return row | {
        "variant": manifest.variant,
        "target": manifest.target,
        "scenario": manifest.scenario_name,
        "scenario_hash": manifest.scenario_hash,
        "rate": rate if isinstance(rate, int | float) else None,
        "seed": manifest.seed,
        "window_s": opened.window_length,
        "started_at": manifest.started_at,
        "ended": manifest.ended,
        "verdict": summary.get("verdict"),
        **{
            key: summary.get("accounting", {}).get(key)
            for key in ("due", "completed", "failed", "unfinished", "lost")
        },
        "conditions": json.dumps(found),
        "metrics": json.dumps({name: each.get("value") for name, each in summary.get("metrics", {}).items()}),
    }


def _summary(path: Path) -> dict[str, Any]:
    """summary.json, or nothing where the run was not judged yet."""
    if not path.is_file():
        return {}
    try:
        found = renamed(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: not a summary; `tokenswarm judge {path.parent}` writes it again")
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--rebuild", action="store_true", help="make the index anew instead of updating it")
    parser.add_argument("--variant", metavar="V", help="only runs of this variant")
    parser.add_argument("--limit", type=int, metavar="N", help="only the newest N")


def run(arguments: argparse.Namespace) -> int:
    """Print the table of all runs."""
    results = results_folder()
    if not results.is_dir():
        raise UsageError(f"{results}: no results yet; `make baseline` makes the first run")
    if arguments.limit is not None and arguments.limit < 1:
        raise UsageError(f"--limit {arguments.limit}: must be 1 or more")
    rows = [row for row in history(results, arguments.rebuild) if arguments.variant in (None, row["variant"])]
    if not rows:
        print(f"No runs in {results} yet; `make baseline` makes the first.")
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in _lines(rows[: arguments.limit], width):
        print(clean(line))
    print(f"{len(rows)} runs. Percentiles are over all arrivals of the window, in ms.")
    return 0


def _lines(rows: Sequence[Row], width: int | None = None) -> Iterator[str]:
    """A table as plain lines: names stay whole, and thousands of rows take no time to lay out.

    `width`: the terminal's; columns that it has no room for are left out, and named.
    """
    cells = [list(HEADINGS), *(_cells(row) for row in rows if not row["problem"])]
    longest = (max(map(len, column)) for column in zip(*cells, strict=True))
    widths = dict(zip(HEADINGS, longest, strict=True))
    out = _excluded(widths, width)
    for name in out:
        del widths[name]
    yield _line(HEADINGS, widths)
    for row in rows:
        if row["problem"]:
            yield f"{row['run']}  unreadable: {row['problem']}"
        else:
            yield _line(_cells(row), widths)
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


def _cells(row: Row) -> list[str]:
    names = ("run", "variant", "target", "scenario", "seed")
    counts = ("due", "completed", "failed", "unfinished", "lost")
    values = [*(row[name] for name in names), row["verdict"] or "not judged", *(row[name] for name in counts)]
    return ["-" if value is None else str(value) for value in values] + list(_figures(row["metrics"]))


def _figures(metrics: dict[str, float | None]) -> Iterator[str]:
    for name in SHOWN:
        value = metrics.get(name)
        unit = "tok/s" if name in SHOWN[:2] else "ms"
        yield "-" if value is None else formatting.number(value, unit)

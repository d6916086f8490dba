"""Audits of other tools' files, for the tests: real ones, and what came of a claim."""

from pathlib import Path

from common.places import ROOT
from reports.commands.audit import audit, read_files
from reports.document.audit import Audit
from reports.document.schema import Comparison
from reports.runs.importers.imported import Imported
from reports.runs.importers.reader import read
from reports.runs.runs import Run

DATA = ROOT / "tests" / "data"
HELD, OPEN = DATA / "vllm-bench-held.json", DATA / "vllm-bench-open.json"  # by vllm bench serve 0.32.0


def audited(*paths: Path) -> tuple[Comparison, Audit, list[Run]]:
    comparison, runs = audit(read_files(paths)[0], 0.03, "test", "command")
    assert comparison.audit is not None
    return comparison, comparison.audit, runs


def outcome(found: Audit, metric: str, change: bool = False) -> str:
    """Of a claim about one file, or about the change between two."""
    checks = [each for each in found.checks if each.field.startswith("change of ") == change]
    return next(each.outcome for each in checks if each.metric == metric)


def read_one(path: Path) -> Imported:
    """The one result of a file."""
    (found,) = read(path)
    return found

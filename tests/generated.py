"""Texts in the tree that code makes: what each must be now. To write them anew:

.venv/bin/python -m tests.generated
"""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from common.places import ROOT
from reports.document import schema
from tokenswarm.__main__ import run as tokenswarm

GOLDEN = ROOT / "tests" / "data" / "golden"  # two small runs (bench.synthetic), and what is made of them
RUNS = ("20260101T000000Z-baseline", "20260101T000100Z-optimized")


def golden() -> dict[Path, str]:
    """The summary of the first of the stored runs, and the report on both."""
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        results = Path(name)
        for run in RUNS:
            shutil.copytree(GOLDEN / run, results / run)
        before = os.environ.get("TOKENSWARM_RESULTS")
        os.environ["TOKENSWARM_RESULTS"] = name
        try:
            tokenswarm(["judge", str(results / RUNS[0])])
            tokenswarm(["report", *RUNS, "--name", "golden"])
        finally:
            os.environ.pop("TOKENSWARM_RESULTS")
            os.environ.update({} if before is None else {"TOKENSWARM_RESULTS": before})
        report = results / "reports" / "golden"
        made = [results / RUNS[0] / "summary.json", report / "README.md", report / "comparison.json"]
        return {GOLDEN / path.name: _undated(path.read_text(encoding="utf-8")) for path in made}


def documents() -> dict[Path, str]:
    """The JSON schema of comparison.json."""
    return {ROOT / "docs" / "comparison.schema.json": schema.schema()}


def _undated(text: str) -> str:
    """Without the lines that say when it was written."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if "| Written " not in line and '"written_at"' not in line)


ALL: tuple[Callable[[], dict[Path, str]], ...] = (documents, golden)


if __name__ == "__main__":
    for make in ALL:
        for path, text in make().items():
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))

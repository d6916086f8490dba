"""Texts in the tree that code makes: what each must be now. To write them anew:

.venv/bin/python -m tests.generated
"""

import ast
import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic.fields import FieldInfo

from common.places import ROOT
from loadgen.live.instruments import INSTRUMENTS
from loadgen.records.metrics import METRICS
from loadgen.records.rates import RATES
from loadgen.workload.arrivals import PROCESSES
from loadgen.workload.datasets import FORMATS
from loadgen.workload.lengths import PARAMETERS
from loadgen.workload.scenario import list_scenarios
from reports.document import schema
from reports.runs.importers import reader  # noqa: F401 (it imports them all)
from reports.runs.importers.registry import IMPORTERS
from reports.runs.runs import load_run
from reports.text import formatting
from reports.verdict import validity
from tokenswarm.__main__ import run as tokenswarm

GOLDEN = ROOT / "tests" / "data" / "golden"  # two small runs (bench.synthetic), and what is made of them
HOUSES = ("loadgen", "reports", "forecast", "server", "campaign", "tokenswarm", "bench", "common")
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
    """The JSON schema of comparison.json, and the pages that show what there is."""
    docs = ROOT / "docs"
    return {
        docs / "comparison.schema.json": schema.schema(),
        **_with_tables(docs / "metrics.md", durations=_durations(), rates=_rates(), rules=_rules()),
        **_with_tables(docs / "metrics-live.md", instruments=_instruments()),
        **_with_tables(
            docs / "scenarios.md",
            scenarios=_scenarios(),
            processes=_processes(),
            distributions=_distributions(),
            formats=_formats(),
        ),
        **_with_tables(docs / "audit.md", importers=_importers()),
        **_with_tables(docs / "design.md", modules=_modules()),
        **_with_output(docs / "variants.md", "variants"),
    }


def _durations() -> str:
    rows = [(f"`{each.name}`", each.label, each.text) for each in METRICS.values()]
    return _table(("name", "label", "definition"), rows)


def _rates() -> str:
    rows = [(f"`{each.name}`", each.label, each.unit, each.text) for each in RATES.values()]
    return _table(("name", "label", "unit", "definition"), rows)


def _instruments() -> str:
    rows = [
        (
            f"`{each.name}`",
            f"`{each.prometheus}{'_total' if each.kind == 'counter' else ''}`",
            f"{each.kind}: {each.text}",
        )
        for each in INSTRUMENTS
    ]
    return _table(("OpenTelemetry", "Prometheus", "what it is"), rows)


def _scenarios() -> str:
    return _table(("scenario", "what for"), [(f"`{name}`", text) for name, text in list_scenarios().items()])


def _processes() -> str:
    rows = []
    for name, kind in PROCESSES.items():
        fields = {key: each for key, each in kind.model_fields.items() if key != "process"}
        named = [f"`{key}`{_default(each)}" for key, each in fields.items()]
        rows.append((f"`{name}`", ", ".join(named), _first(kind.__doc__)))
    return _table(("process", "parameters (default)", "arrivals"), rows)


def _default(field: FieldInfo) -> str:
    return f" ({field.default})" if isinstance(field.default, int | float | str) else ""


def _distributions() -> str:
    order = ("mean", "sd", "min", "max")
    rows = [
        (f"`{name}`", *(", ".join(f"`{key}`" for key in order if key in keys) for keys in both))
        for name, both in PARAMETERS.items()
    ]
    return _table(("distribution", "needs", "may have"), rows)


def _formats() -> str:
    rows = [(f"`{name}`", *_parts(function, 2)) for name, function in FORMATS.items()]
    return _table(("format", "file", "gives"), rows)


def _importers() -> str:
    rows = dict.fromkeys(_parts(type(each), 3) for each in IMPORTERS)
    return _table(("tool", "its file", "what it holds"), rows)


def _parts(thing: Callable[..., object], count: int) -> tuple[str, ...]:
    """The first paragraph of the docstring of the module that a thing stands in, at its colons."""
    found = tuple(_first(sys.modules[thing.__module__].__doc__).rstrip(".").split(": ", count - 1))
    assert len(found) == count, f"{thing.__module__}: {count} parts of its first paragraph, with ': ' between"
    return found


def _first(text: str | None) -> str:
    """A docstring's first paragraph, in one line."""
    return " ".join((text or "").split("\n\n")[0].split())


def _modules() -> str:
    """Each package's first sentence and its modules; a package of one house stands below it."""
    rows = []
    for house in HOUSES:
        for init in sorted((ROOT / house).rglob("__init__.py")):
            text = _first(ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))))
            names = sorted(path.stem for path in init.parent.glob("*.py") if path != init)
            listed = ", ".join(f"`{name}`" for name in names)
            rows.append((f"`{init.parent.relative_to(ROOT)}/`", text, listed))
    return _table(("room", "what belongs there", "modules"), rows)


def _rules() -> str:
    rows, run = [], load_run(GOLDEN / RUNS[0])
    for rule in validity.in_order().values():
        outcome = rule(run)
        text, _, said = _first(rule.__doc__).partition(" Bound: ")
        brings = outcome.verdict.label if outcome.verdict else "only warns"
        bound = formatting.measured(outcome.bound, outcome.unit)
        rows.append((f"`{outcome.rule}`", brings, text, said.rstrip(".") or bound))
    return _table(("rule", "verdict", "figure", "bound"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    rule = f"|{'---|' * len(head)}"
    return "\n".join((_line(head), rule, *map(_line, rows), ""))


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _with_tables(page: Path, **tables: str) -> dict[Path, str]:
    """The page with each table in its place, between `<!-- table NAME … -->` and `<!-- end -->`."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        pattern = rf"(?<=<!-- table {name}: )([^\n]*-->\n).*?(?=<!-- end -->\n)"
        text, found = re.subn(pattern, rf"\1{table}", text, flags=re.DOTALL)
        assert found == 1, f"{page.name} has no one place for the table {name}"
    return {page: text}


def _with_output(page: Path, *verb: str) -> dict[Path, str]:
    """The page with what the command prints, below the line that shows it."""
    before, line, after = page.read_text(encoding="utf-8").partition(f"$ tokenswarm {' '.join(verb)}\n")
    assert line, f"{page.name} does not show the command {' '.join(verb)}"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        tokenswarm(list(verb))
    return {page: before + line + printed.getvalue() + after[after.index("```") :]}


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

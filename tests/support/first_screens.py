"""Six reports of simulated runs whose first screens are to be understood at sight.

    python -m tests.support.first_screens FOLDER

writes FOLDER/NAME/ (README.md, report.html, figures) and FOLDER/NAME.md, its first screen alone.
"""

import sys
from pathlib import Path
from typing import Any

from bench.synthetic import Shape, make_run
from reports.commands.assembly import assemble
from reports.commands.audit import audit, read_files
from reports.commands.compare import write
from reports.document.schema import Comparison
from reports.runs.runs import Run, load_run
from tests.support.make_foreign import make_story

LINES = 40  # of README.md: the first screen
CHAT = {  # as chat-medium is on the CPU target
    "rate": 20.0,
    "duration": 60.0,
    "warmup": 5.0,
    "drain": 60.0,
    "output": 150,
    "output_sd": 80.0,
    "ttft": 0.03,
    "tpot": 0.0088,
    "jitter": 0.1,
    "slo": {"ttft": 1.0, "tpot": 0.05, "share": 0.99},
}
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # name: baseline, optimized
    "good": ({}, {"tpot": 0.006}),
    "bad": ({}, {"slots": 8, "tpot": 0.006}),
    "both-drowned": ({"slots": 20}, {"slots": 6, "tpot": 0.006}),
    "too-short": ({"duration": 20.0}, {"duration": 20.0, "slots": 5, "tpot": 0.006, "drain": 20.0}),
    "disturbed": ({}, {"tpot": 0.006, "dispatch_delay": 0.3}),
}
NAMES = (*PAIRS, "audit")


def make(name: str, folder: Path) -> Comparison:
    """Write the report of this name into `folder`; its runs come and go beside it."""
    comparison, runs = (
        _audit(folder.parent) if name == "audit" else _pair(name, folder.parent / "runs" / name)
    )
    write(comparison, runs, folder)
    return comparison


def _pair(name: str, folder: Path) -> tuple[Comparison, list[Run]]:
    runs = []
    for number, (variant, changes) in enumerate(zip(("baseline", "optimized"), PAIRS[name], strict=True)):
        where = folder / f"2026010{number + 1}T000000Z-{variant}"
        make_run(where, Shape(**{**CHAT, "variant": variant, "noise_seed": number + 1, **changes}))
        runs.append(load_run(where))
    return assemble(
        runs, baseline="baseline", minimum_effect=0.03, name=name, command="tokenswarm report"
    ), runs


def _audit(folder: Path) -> tuple[Comparison, list[Run]]:
    folder.mkdir(parents=True, exist_ok=True)
    files = read_files(make_story(folder))[0]
    return audit(files, 0.03, "audit", "tokenswarm audit baseline.json optimized.json")


def main() -> None:
    folder = Path(sys.argv[1])
    for name in NAMES:
        make(name, folder / name)
        lines = (folder / name / "README.md").read_text(encoding="utf-8").splitlines()[:LINES]
        (folder / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(folder / f"{name}.md")


if __name__ == "__main__":
    main()

"""The runs that this session has finished: what is shown of them, their files, their reports."""

import re
from pathlib import Path
from typing import Any

from gevent.lock import BoundedSemaphore

from common import former_names
from common.results import COMPARISON, MANIFEST, RECORDS, SUMMARY, results_folder
from common.usage import UsageError
from loadgen.host import child_process
from loadgen.web.webpage.files import address

SHOWN = (
    "offered_rate",
    "completed_rate",
    "output_token_throughput",
    "ttft_p50",
    "ttft_p99",
    "tpot_p50",
    "latency_p99",
    "scheduled_ttft_p99",
    "slo_attainment",
)
TOO_FEW = "enough_requests"  # the rule's name
NAME_LENGTH = 100  # `reports compare --name` takes no more

Finished = list[tuple[Path, str]]


class Session:
    """`finished`: the conductor's list of folders and verdicts; it grows."""

    def __init__(self, finished: Finished) -> None:
        self._finished = finished
        self._told: dict[Path, dict[str, Any]] = {}
        self._reports: dict[tuple[str, ...], dict[str, Any]] = {}  # names of runs: what was made
        self._making = BoundedSemaphore()

    def runs(self) -> list[dict[str, Any]]:
        """The newest first: name, verdict and why, scenario, figures, where its files are in results/."""
        for folder, verdict in self._finished:
            if folder not in self._told:
                self._told[folder] = {"run": folder.name, "verdict": verdict} | _told(folder)
        return list(reversed(self._told.values()))

    def verdict(self, folder: Path) -> tuple[str, str] | None:
        """The verdict of a finished run, and why; None for a run that is none."""
        self.runs()
        told = self._told.get(folder)
        return (told["verdict"], told["why"]) if told else None

    def metrics(self, folder: Path) -> dict[str, Any]:
        """The judged figures of a finished run (SHOWN), by name; empty for a run that is none."""
        self.runs()
        found: dict[str, Any] = self._told.get(folder, {}).get("metrics", {})
        return found

    def report(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The report on one finished run, or on two, made when it is not there: its path in results/, and its
        first screen, as comparison.json has it.

        Raises UsageError for names that are none of this session's, and where no report can be made.
        """
        if not 1 <= len(names) <= 2 or len(set(names)) != len(names):
            raise UsageError("choose one run for its report, or two different ones to compare them")
        known = {folder.name: folder for folder, _ in self._finished}
        folders = [known[name] for name in names if name in known]
        if len(folders) < len(names):
            raise UsageError("no such run in this session")
        with self._making:
            if names not in self._reports:
                self._reports[names] = _make_report(folders)
        return self._reports[names]


def _told(folder: Path) -> dict[str, Any]:
    manifest, summary = _read(folder / MANIFEST), _read(folder / SUMMARY)
    metrics = summary.get("metrics", {})
    judged = {"verdict": summary["verdict"]} if "verdict" in summary else {}  # `--allow` does not change it
    return judged | {
        "why": _why(manifest, summary),
        "advice": "; ".join(rule["advice"] for rule in _given(summary)[:1]),
        "variant": manifest.get("variant"),
        "labels": manifest.get("labels") or {},
        "note": manifest.get("note") or "",
        "scenario": manifest.get("scenario_name"),
        "seed": manifest.get("seed"),
        "started_at": manifest.get("started_at"),
        "ended": manifest.get("ended"),
        "ended_why": manifest.get("ended_why"),
        "due": manifest.get("due"),
        "metrics": {name: metrics.get(name, {}).get("value") for name in SHOWN},
        "bounds": {name: metrics.get(name, {}).get("lower_bound") for name in SHOWN},
        "folder": address(folder),
        "records": address(folder / RECORDS),
    }


def _why(manifest: dict[str, Any], summary: dict[str, Any]) -> str:
    """The first rule that gave the verdict, and how the run ended if not by itself."""
    if not summary:
        return "not judged"
    parts = [manifest.get("ended_why"), *(rule["text"] for rule in _given(summary)[:1])]
    return "; ".join(part for part in parts if part) or "judged from the records"


def _given(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules that gave the verdict. Too few completed ones come last: that often follows from another."""
    broken = [rule for rule in summary.get("rules", ()) if not rule["passed"]]
    given = [rule for rule in broken if rule["verdict"] == summary["verdict"]]
    return sorted(given, key=lambda rule: rule["rule"] == TOO_FEW)


def _read(path: Path) -> dict[str, Any]:
    """The JSON file's object; empty where judging has left none."""
    try:
        found = former_names.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _make_report(folders: list[Path]) -> dict[str, Any]:
    """Run `tokenswarm report` in a process of its own; what was made. Raises UsageError."""
    joined = (
        "-vs-".join(folder.name for folder in folders) if len(folders) > 1 else f"{folders[0].name}-alone"
    )
    name = re.sub(r"[^A-Za-z0-9._-]", "-", joined).lstrip("._-")[:NAME_LENGTH]
    words = ["report", "--name", name, *map(str, folders)]
    if len(folders) > 1 and len({_read(folder / MANIFEST).get("variant") for folder in folders}) == 1:
        words.append("--each")
    done = child_process.run_verb(words, capture=True)
    made = results_folder() / "reports" / name
    path = address(made / "report.html")
    if done.code or path is None:
        last = (done.out.strip() or "it said nothing").splitlines()[-1]
        raise UsageError(f"no report was made: {last}")
    return {"path": path, "screen": _read(made / COMPARISON).get("first_screen")}

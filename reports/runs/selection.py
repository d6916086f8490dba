"""Which runs a report is of: those named, or the newest that can be compared."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.results import MANIFEST, NOT_APPLIED, RECORDS
from common.usage import UsageError
from loadgen.records.record import SCHEMA
from reports.runs.manifest import Manifest, read_manifest
from reports.runs.runs import Records, Run
from reports.runs.server_metrics import ServerMetrics

Finished = tuple[Manifest, Path]  # a complete run and its folder


@dataclass(frozen=True)
class NotApplied:
    """A variant that could not be served, with the server's own reason."""

    folder: str
    variant: str
    target: str | None
    reason: str
    changes: str | None = None
    expected: str | None = None
    command_line: str | None = None


@dataclass(frozen=True)
class Selection:
    """Run folders, the baseline's first, and the variants that could not be applied."""

    baseline: str
    folders: list[Path]
    not_applied: list[NotApplied]


def without_records(manifest: Manifest, folder: Path) -> Run:
    """A run whose records are not needed: for lists of many."""
    return Run(manifest, Records(SCHEMA.empty_table()), ServerMetrics(), folder)


def named_runs(names: Sequence[str], baseline: str | None, results: Path) -> Selection:
    """Runs named by folder or by name in the results. Folders with not_applied.json count as such."""
    folders: list[Path] = []
    missing: list[NotApplied] = []
    for name in names:
        folder = Path(name) if Path(name).is_dir() else results / name
        if not folder.is_dir():
            raise UsageError(f"{name}: no such run; `tokenswarm history` lists the runs in {results}")
        refused = read_not_applied(folder)
        if refused and not (folder / MANIFEST).is_file():
            missing.append(refused)
        elif folder.resolve() in [known.resolve() for known in folders]:
            raise UsageError(f"{name}: named twice; a run cannot be compared with itself")
        else:
            folders.append(folder)
    variants = [read_manifest(folder).variant for folder in folders]
    first = baseline or ("baseline" if "baseline" in variants else variants[0] if variants else "baseline")
    if first not in variants:
        raise UsageError(
            f"--baseline {first}: none of the runs is of that variant (they are of {', '.join(variants)})"
        )
    order = [first, *dict.fromkeys(name for name in variants if name != first)]
    pairs = sorted(zip(variants, folders, strict=True), key=lambda pair: order.index(pair[0]))
    return Selection(first, [folder for _, folder in pairs], missing)


def newest_runs(baseline: str, others: Sequence[str], results: Path, with_newest: bool = False) -> Selection:
    """The newest finished run of each variant, on one target and scenario.

    Looks at the newest run of the first of `others` that has counterparts with the same target and scenario
    hash, or, `with_newest`, at the newest run of all; and takes the rest to match: of the same seed where
    there is one, so that arrivals pair. Raises UsageError when a variant has none.
    """
    found = _finished(results, {baseline, *others})
    refused = _refused(results, found, others)
    wanted = [name for name in others if name not in {each.variant for each in refused}]
    missing = [name for name in (baseline, *wanted) if not found.get(name)]
    if missing:
        command = how_to_run(missing[0], baseline)
        raise UsageError(f"{results}: no finished run of {' or '.join(missing)}; `{command}` makes one")
    if not wanted:
        return Selection(baseline, [found[baseline][0][1]], refused)
    names = (baseline, *wanted)
    every = _newest_first(run for name in names for run in found[name])
    for newest in every[:1] if with_newest else found[wanted[0]]:
        match = _counterparts(newest, found, names)
        if len(match) == len(names):
            target = newest[0].target
            here = [each for each in refused if each.target in (None, target)]
            return Selection(baseline, list(match.values()), here)
    raise UsageError(
        f"{results}: no runs of {', '.join((baseline, *wanted))} on the same target and scenario; "
        "run them with the same SCENARIO, RPS and DURATION, or name the runs"
    )


def without_counterpart(baseline: str, others: Sequence[str], results: Path) -> str | None:
    """A line about the newest run of all, where a variant has none on its target and scenario; else None."""
    found = _finished(results, {baseline, *others})
    refused = {each.variant for each in _refused(results, found, others)}
    names = [name for name in (baseline, *others) if name not in refused]
    for newest in _newest_first(run for runs in found.values() for run in runs)[:1]:
        match = _counterparts(newest, found, names)
        if lacking := [name for name in names if name not in match]:
            return (
                f"No comparison yet: no {lacking[0]} has run under the load of {newest[1].name} (target, "
                f"scenario); `{how_to_run(lacking[0], baseline)}` with the same settings adds it."
            )
    return None


def how_to_run(variant: str, baseline: str = "baseline") -> str:
    """The command that makes a run of a variant."""
    if variant in ("baseline", "optimized"):
        return f"make {variant}"
    return f'make sweep VARIANTS="{baseline} {variant}"'


def variants_present(names: Sequence[str], results: Path) -> list[str]:
    """Those of the variants that have a finished run."""
    found = _finished(results, set(names))
    return [name for name in names if found.get(name)]


def read_not_applied(folder: Path) -> NotApplied | None:
    """not_applied.json of a run folder: the variant that the server refused, and why."""
    path = folder / NOT_APPLIED
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        names = ("changes", "expected", "command_line")
        extra = {name: found[name] for name in names if isinstance(found.get(name), str)}
        return NotApplied(
            folder.name, str(found["variant"]), found.get("target"), str(found["reason"]), **extra
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: not readable: {type(error).__name__}: {error}") from None


def _finished(results: Path, variants: set[str]) -> dict[str, list[Finished]]:
    """The complete runs of each variant, newest first. Folders that cannot be read are passed over."""
    found: dict[str, list[Finished]] = {}
    for path in results.glob("*/manifest.json"):
        if not path.with_name(RECORDS).is_file():
            continue
        try:
            manifest = read_manifest(path.parent)
        except UsageError:
            continue  # `reports history` shows it with the reason
        if manifest.variant in variants and manifest.ended == "complete":
            found.setdefault(manifest.variant, []).append((manifest, path.parent))
    return {name: _newest_first(runs) for name, runs in found.items()}


def _newest_first(runs: Iterable[Finished]) -> list[Finished]:
    return sorted(runs, key=lambda run: (run[0].started_at or "", run[1].name), reverse=True)


def _counterparts(
    newest: Finished, found: Mapping[str, list[Finished]], names: Sequence[str]
) -> dict[str, Path]:
    """The run of each variant, as far as there is one, to compare with `newest`, which stands for its own."""
    own = {newest[0].variant: [newest]}
    matches = {name: _matching(own.get(name, found.get(name, [])), newest[0]) for name in names}
    return {name: folder for name, folder in matches.items() if folder is not None}


def _refused(results: Path, found: dict[str, list[Finished]], others: Sequence[str]) -> list[NotApplied]:
    """Variants whose newest attempt was refused by the server."""
    newest: dict[str, NotApplied] = {}
    for path in sorted(results.glob(f"*/{NOT_APPLIED}")):
        refused = read_not_applied(path.parent)
        if refused and refused.variant in others:
            newest[refused.variant] = refused
    return [
        each for name, each in newest.items() if not found.get(name) or found[name][0][1].name < each.folder
    ]


def _matching(runs: list[Finished], model: Manifest) -> Path | None:
    """The newest run on the model's target and scenario, of its seed if there is one."""
    key = model.target, model.scenario_hash
    fitting = [run for run in runs if (run[0].target, run[0].scenario_hash) == key]
    same = [run for run in fitting if run[0].seed == model.seed]
    return next((folder for _, folder in same or fitting), None)

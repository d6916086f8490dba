"""The client's own error on this machine, measured by `make calibrate`, kept in results/calibration.json.

The file: {"format": 1, "machines": {key: {"machine", "measured_at", "seconds", "rows": [...]}}}; the rows are
those of `bench.accuracy.Row`, times in seconds.
"""

from pathlib import Path
from typing import Any

from common import former_names
from common.results import results_folder, write_json
from common.usage import UsageError
from loadgen.host import machine

FORMAT = 1


def file() -> Path:
    """results/calibration.json, moved by TOKENSWARM_RESULTS."""
    return results_folder() / "calibration.json"


def store(rows: list[dict[str, Any]], seconds: float, measured_at: str, path: Path | None = None) -> Path:
    """Keep `rows` (one per rate, each run for `seconds`) as this machine's; others' stay."""
    path = path or file()
    known = _read(path)
    here = machine.describe()
    entry = {"machine": here, "measured_at": measured_at, "seconds": seconds, "rows": rows}
    known["machines"][machine.key(here)] = entry
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, known)
    return path


def nearest(chunks_per_s: float, path: Path | None = None) -> dict[str, Any] | None:
    """The row of this machine whose load is nearest, with its `measured_at`; None without calibration.

    Load is chunks per second and worker: what a client has to stamp. Nearest is by ratio, not difference.
    """
    entry = _read(path or file())["machines"].get(machine.key(machine.describe()))
    if entry is None or not entry["rows"] or chunks_per_s <= 0:
        return None
    row = min(entry["rows"], key=lambda row: _ratio(row["chunks_per_s"], chunks_per_s))
    return row | {"measured_at": entry["measured_at"]}


def _ratio(one: float, other: float) -> float:
    return max(one, other) / min(one, other)


def _read(path: Path) -> dict[str, Any]:
    try:
        known = former_names.loads(path.read_bytes())
    except FileNotFoundError:
        return {"format": FORMAT, "machines": {}}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); run `make calibrate` anew") from None
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        raise UsageError(f"{path}: not a calibration of format {FORMAT}; remove it and run `make calibrate`")
    return known

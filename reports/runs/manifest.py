"""manifest.json of a run folder, checked; lists of many runs need no more than that and their summaries."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common import former_names
from common.results import MANIFEST
from common.usage import UsageError

FORMAT = 1


class Tolerant(BaseModel):
    """A part of a file that other versions may have given more keys."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Window(Tolerant):
    """Arrivals due in [start, end) seconds are judged."""

    start: float
    end: float


class Prompts(Tolerant):
    how: str | None = None
    exact: bool | None = None
    unique: bool | None = None
    worst_error: float | None = None


class Beside(Tolerant):
    """The run that went beside this one, and when this one began, seconds of their machine's clock."""

    run: str
    zero: float


class Lane(Tolerant):
    """One worker's share; see docs/design.md. What was not measured is None."""

    lane: int
    worker: str | None = None
    host: str | None = None
    arrivals: int | None = None
    records: int | None = None
    batches_sent: int | None = None
    batches_received: int | None = None
    lost: bool = False
    clock_rtt_s: float | None = None
    clock_drift_s: float | None = None
    cpu_s: float | None = None
    wall_s: float | None = None
    stall_p99_ms: float | None = None
    stall_max_ms: float | None = None
    connections: int | None = None
    peak_in_flight: int | None = None
    open_files_limit: int | None = None
    beside_server: bool | None = None
    cores: int | None = None
    round_trip_s: float | None = None
    segments: int | None = None
    segments_lost: int | None = None

    @property
    def label(self) -> str:
        """How texts call it: a worker's own name holds its host's, which reports do not give away."""
        return f"worker {self.lane}"


DEFAULTS_BEFORE: dict[str, Any] = {  # of the runs whose manifests do not hold them yet (until commit 339e325)
    "warmup": 5,
    "drain": 60,
    "timeout": 600,
    "seed": 1,
    "arrivals": {"process": "poisson"},
    "slo": {"ttft": 1.0, "tpot": 0.05, "share": 0.99},
    "concurrency": 16,
}


class Manifest(Tolerant):
    """manifest.json of docs/design.md. Times are seconds from the run's start."""

    format: int
    run: str
    variant: str
    target: str | None = None
    model: str | None = None
    host: str | None = None
    scenario: dict[str, Any] = {}
    scenario_defaults: dict[str, Any] = Field(default_factory=lambda: DEFAULTS_BEFORE)  # not copied for each
    scenario_name: str | None = None
    scenario_hash: str | None = None
    seed: int | None = None
    window: Window
    schedule_end: float
    drain_limit: float | None = None
    drained_at: float
    started_at: str | None = None
    ended: str = "complete"
    ended_why: str | None = None
    stopped_early: str | None = None  # why the rest of the window was not needed: the server fell behind
    labels: dict[str, str] = {}
    note: str | None = None
    beside: Beside | None = None
    due: int
    scheduled: int | None = None
    prompts: Prompts = Prompts()
    lanes: list[Lane] = []
    server: dict[str, Any] | None = None
    versions: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    client_error: dict[str, Any] | None = None


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run folder, checked. Cheap: for lists of many runs."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(f"{path}: missing, so {folder} is no finished run; was the load test cut off?")
    try:
        manifest = Manifest.model_validate(former_names.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "the file"
            raise UsageError(f"{path}: {key}: {first['msg']}") from None
        raise UsageError(
            f"{path}: cannot be read, perhaps cut off: {' '.join(str(error).split())[:200]}"
        ) from None
    if manifest.format != FORMAT:
        raise UsageError(f"{path}: format {manifest.format}, this version reads format {FORMAT}")
    if not manifest.window.start < manifest.window.end:
        raise UsageError(f"{path}: window: its end is not after its start")
    return manifest

"""A synthetic run in the place of one that a campaign asks for."""

from pathlib import Path
from typing import Any

from bench.synthetic import make_run
from campaign.load import Load


def make_step(folder: Path, load: Load, variant: str, **shape: Any) -> None:
    """Make the run of a load; `shape`: what stands for the server, as `make_run` takes it."""
    asked = load.resolved()
    assert asked.slo is not None and asked.rate is not None
    make_run(
        folder,
        rate=asked.rate,
        duration=asked.duration,
        warmup=asked.warmup,
        seed=int(load.options["seed"]),
        variant=variant,
        slo=asked.slo.model_dump(exclude_none=True),
        **shape,
    )

"""Whether two runs asked for the same requests."""

import json
from pathlib import Path

import pytest

from bench.synthetic import Shape, make_run
from reports.runs.conditions import same_requests, same_schedule
from reports.runs.runs import Run, load_run

SHAPE = Shape(rate=20, duration=10, warmup=1, drain=5)


def saying(folder: Path, **manifest: object) -> Run:
    make_run(folder, SHAPE)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | manifest))
    return load_run(folder)


def test_a_drain_of_its_own_leaves_the_arrivals_the_same(tmp_path: Path) -> None:
    one = saying(tmp_path / "a", schedule_digest="5e", scenario_hash="drain-60")
    other = saying(tmp_path / "b", schedule_digest="5e", scenario_hash="drain-20")
    assert same_requests(one, other) and same_schedule(one, other)


@pytest.mark.parametrize("digest", ["77", None])
def test_another_digest_or_none_leaves_it_to_the_scenario(tmp_path: Path, digest: str | None) -> None:
    one = saying(tmp_path / "a", schedule_digest="5e", scenario_hash="h")
    assert not same_requests(one, saying(tmp_path / "b", schedule_digest=digest, scenario_hash="other"))
    assert same_requests(one, saying(tmp_path / "c", schedule_digest=digest, scenario_hash="h"))

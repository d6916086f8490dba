"""Figures of a load's workloads, adapters and stages: against the same figures taken by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.synthetic import make_run
from reports.commands.assembly import assemble
from reports.comparison import breakdown
from reports.document.schema import Comparison
from reports.pages.sections_parts import parts
from reports.runs.runs import load_run


def compared(*folders: Path) -> Comparison:
    return assemble(
        [load_run(folder) for folder in folders],
        baseline="baseline",
        minimum_effect=0.02,
        name="n",
        command="c",
    )


def test_a_load_of_one_piece_has_no_parts(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    found = compared(tmp_path / "a")
    assert found.parts == [] and parts(found) == []


def name_parts(folder: Path, kind: str, names: Any) -> Path:
    """Give the run's records these workloads or adapters; where its records are."""
    path = folder / "requests.parquet"
    table = pq.read_table(path)
    column = pa.array(names(table["output_asked"].to_numpy()))
    pq.write_table(table.set_column(table.schema.get_field_index(kind), kind, column), path)
    return path


@pytest.mark.parametrize("kind", ["workload", "adapter"])
def test_each_workload_and_each_adapter_has_its_own_figures(kind: str, tmp_path: Path) -> None:
    make_run(tmp_path / "a", slots=30, rate=22.0, output_sd=30.0, hung_share=0.02)
    path = name_parts(tmp_path / "a", kind, lambda asked: np.where(asked > 40, "long", "short"))
    found = {part.name: part for part in compared(tmp_path / "a").parts}
    records = pd.read_parquet(path)
    judged = records[(records["due"] >= 5) & (records["due"] < 65)]
    assert found.keys() == {"long", "short"}
    for name, part in found.items():
        mine = judged[judged[kind] == name]
        done = mine["status"] == "completed"
        assert (part.kind, part.due, part.completed) == (kind, len(mine), done.sum())
        waits = np.sort((mine["first_token"] - mine["due"]).fillna(np.inf))
        p50 = waits[int(np.ceil(0.5 * len(waits))) - 1]
        assert part.metrics["scheduled_ttft_p50"].value == pytest.approx(p50)
        tpot = (mine["last_token"] - mine["first_token"]) / (mine["output_tokens"] - 1)
        good = done & (mine["first_token"] - mine["due"] <= 0.5) & (tpot <= 0.05)
        assert part.metrics["slo_attainment"].value == pytest.approx(good.mean())


def test_the_rarest_of_many_adapters_share_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakdown, "MOST", 2)
    make_run(tmp_path / "a", rate=20)
    shares = np.array(["a"] * 6 + ["b"] * 3 + ["c", "d"])
    path = name_parts(tmp_path / "a", "adapter", lambda asked: np.resize(shares, len(asked)))
    comparison = compared(tmp_path / "a")
    due = {part.name: part.due for part in comparison.parts}
    records = pd.read_parquet(path)
    counts = records[(records["due"] >= 5) & (records["due"] < 65)]["adapter"].value_counts()
    assert due == {"a": counts["a"], "b": counts["b"], "the others": counts["c"] + counts["d"]}
    assert [table.caption for table in parts(comparison)] == ["Each adapter by itself"]  # type: ignore[union-attr]


def test_each_stage_has_its_own_figures_in_each_variant(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"steps": (5.0, 40.0), "duration": 40.0, "ttft": 0.05, "tpot": 0.02, "output": 50}
    make_run(tmp_path / "a", slots=25, **shape)  # serves 24/s
    make_run(tmp_path / "b", variant="optimized", **shape)
    found = compared(tmp_path / "a", tmp_path / "b")
    told = [(part.name, part.variant) for part in found.parts]
    assert told == [
        (name, variant) for name in ("1: 5/s", "2: 40/s") for variant in ("baseline", "optimized")
    ]
    share = [part.metrics["slo_attainment"].value for part in found.parts]
    assert share[0] == share[1] == share[3] == 1.0
    assert share[2] is not None and share[2] < 0.5, "the queue grows in the second step, of the baseline"
    table = parts(found)[0]
    assert table.caption == "Each stage by itself" and len(table.rows) == 4  # type: ignore[union-attr]

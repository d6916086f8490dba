"""Run folders: what loads, what is refused with one line, and the chunk lists as numpy sees them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.synthetic import edit_manifest, make_run
from common.usage import UsageError
from loadgen.records.record import SCHEMA
from reports.runs.runs import Records, load_run


def test_a_run_loads(tmp_path: Path) -> None:
    truth = make_run(tmp_path / "r", rate=10, duration=20, failed_share=0.1)
    run = load_run(tmp_path / "r")
    assert run.name == "r" and run.window == (5.0, 25.0) and run.window_length == 20.0
    assert len(run.records) == len(truth.due)
    assert np.array_equal(run.judged, truth.judged)
    assert run.records.status_is("failed").sum() == (truth.status == 1).sum() > 0
    assert np.isnan(run.records.numbers("first_token")[truth.status == 1]).all()
    assert run.records.frame(["arrival", "status"]).shape == (len(truth.due), 2)


def test_unknown_manifest_keys_are_kept(tmp_path: Path) -> None:
    make_run(tmp_path, duration=2)
    edit_manifest(tmp_path, later_key={"a": 1}, lanes={"later": 2})
    manifest = load_run(tmp_path).manifest
    assert manifest.model_extra is not None and manifest.model_extra["later_key"] == {"a": 1}


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda run: (run / "manifest.json").unlink(), "manifest.json: missing"),
        (lambda run: _cut(run / "manifest.json"), "perhaps cut off"),
        (lambda run: (run / "manifest.json").write_text("[]"), "manifest.json"),
        (lambda run: edit_manifest(run, due=None), "due:"),
        (lambda run: edit_manifest(run, format=2), "format 2"),
        (lambda run: edit_manifest(run, window={"start": 5, "end": 5}), "window"),
        (lambda run: (run / "requests.parquet").unlink(), "requests.parquet: missing"),
        (lambda run: _cut(run / "requests.parquet"), "cut off"),
        (lambda run: pq.write_table(pa.table({"a": [1]}), run / "requests.parquet"), "column 'arrival'"),
        (lambda run: _cut(run / "server_metrics.parquet"), "cut off"),
        (lambda run: pq.write_table(pa.table({"a": [1]}), run / "server_metrics.parquet"), "column 't'"),
    ],
)
def test_damage_gets_one_line(tmp_path: Path, harm, words: str) -> None:  # type: ignore[no-untyped-def]
    make_run(tmp_path, duration=2)
    harm(tmp_path)
    with pytest.raises(UsageError) as error:
        load_run(tmp_path)
    assert words in str(error.value) and "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_damaged_pages_get_one_line(tmp_path: Path) -> None:
    make_run(tmp_path, duration=20)
    path = tmp_path / "requests.parquet"
    data = bytearray(path.read_bytes())
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    path.write_bytes(bytes(data))
    with pytest.raises(UsageError, match="damaged"):
        load_run(tmp_path).records.numbers("due")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such run folder"):
        load_run(tmp_path / "nothing")


def test_no_server_metrics_is_no_error(tmp_path: Path) -> None:
    make_run(tmp_path, duration=2)
    (tmp_path / "server_metrics.parquet").unlink()
    assert load_run(tmp_path).server.names == []


def test_no_records_at_all(tmp_path: Path) -> None:
    make_run(tmp_path, duration=2)
    pq.write_table(SCHEMA.empty_table(), tmp_path / "requests.parquet")
    run = load_run(tmp_path)
    assert len(run.records) == 0 and not run.judged.any() and not run.records.status_is("completed").any()


def test_chunk_lists_of_every_kind() -> None:
    table = pa.table(
        {
            "chunk_times": pa.array([[1.0, 2.0], None, [], [3.0], [4.0, 5.0]], pa.list_(pa.float64())),
            "chunk_tokens": pa.array([[1, 2], None, [], None, [3, None]], pa.list_(pa.int32())),
        }
    )
    records = Records(table)
    (batch,) = records.chunk_batches()
    assert records.chunk_limit == 5
    assert batch.counts.tolist() == [2, 0, 0, 1, 2]
    assert batch.times.tolist() == [1, 2, 3, 4, 5]
    assert np.array_equal(batch.tokens, [1, 2, np.nan, 3, np.nan], equal_nan=True)


def test_chunk_lists_that_disagree_are_refused() -> None:
    table = pa.table({"chunk_times": [[1.0, 2.0]], "chunk_tokens": [[1]]})
    with pytest.raises(UsageError, match="differ in length"):
        list(Records(table).chunk_batches())


def test_absent_columns_are_empty() -> None:
    records = Records(pa.table({"due": [1.0, 2.0]}))
    assert np.isnan(records.numbers("sent")).all() and records.codes("error")[0].tolist() == [-1, -1]
    assert list(records.chunk_batches()) == [] and records.chunk_limit == 0

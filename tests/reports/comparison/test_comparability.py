"""Two runs are compared only where the load that came was the same: lengths, counting, rate."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.synthetic import Shape, edit_manifest, make_run
from reports.commands.assembly import assemble
from reports.comparison import comparability
from reports.document.schema import Comparison
from reports.runs.manifest import read_manifest
from reports.runs.runs import Run, load_run
from reports.verdict.validity import check, verdict

SHAPE = Shape(rate=20, duration=30, warmup=2, output=40, output_sd=20, ttft=0.04, jitter=0.03)


def made(folder: Path, shape: Shape = SHAPE, **changes: Any) -> Path:
    """A run without the server's own counts, which an edited column would contradict."""
    make_run(folder, dataclasses.replace(shape, **changes))
    (folder / "server_metrics.parquet").unlink()
    return folder


def edit(folder: Path, **columns: Callable[[list[Any]], list[Any]]) -> Path:
    path = folder / "requests.parquet"
    table = pq.read_table(path)
    for name, change in columns.items():
        at = table.schema.get_field_index(name)
        field = table.schema.field(at)
        table = table.set_column(at, field, pa.array(change(table[name].to_pylist()), field.type))
    pq.write_table(table, path)
    return folder


def scaled(factor: float) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [None if value is None else round(factor * value) for value in values]


def texts(*folders: Path, minimum_effect: float = 0.03) -> list[str]:
    one, other = ([load_run(folder)] for folder in folders)
    return [each.text for each in comparability.differences(one, other, minimum_effect)]


def compared(*folders: Path) -> Comparison:
    runs = [load_run(folder) for folder in folders]
    return assemble(runs, baseline="baseline", minimum_effect=0.03, name="n", command="c")


def test_shorter_answers_to_the_same_arrivals_are_another_load(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one"), made(tmp_path / "two", variant="optimized", noise_seed=2)
    edit(two, output_tokens=scaled(0.6))
    found = compared(one, two)
    reason = found.metrics[0].changes[0].reason
    assert reason.startswith("answers have 24.3 tokens with optimized, 40.4 tokens")
    assert "means of the same" in reason
    assert {metric.changes[0].mark for metric in found.metrics} == {"not comparable"}
    assert [(each.condition, each.comparable) for each in found.conditions] == [("mean output tokens", False)]
    assert "No decision on optimized" in found.decisions[0].title


def test_within_what_matters_it_is_the_same_load(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one"), edit(made(tmp_path / "two"), prompt_tokens=lambda c: [51] * len(c))
    assert texts(one, two) == []
    assert "51 tokens with baseline, 50 tokens" in texts(one, two, minimum_effect=0.01)[0]


def test_longer_prompts_are_another_load(tmp_path: Path) -> None:
    two = edit(made(tmp_path / "two"), prompt_tokens=scaled(2))
    assert "prompts have 100 tokens" in texts(made(tmp_path / "one"), two)[0]


def test_that_other_requests_complete_is_no_other_load(tmp_path: Path) -> None:
    """In a queue short answers, or the early ones, may be all that complete."""
    one, two = made(tmp_path / "one"), made(tmp_path / "two", variant="optimized")
    tokens = pq.read_table(two / "requests.parquet")["output_asked"].to_pylist()
    edit(two, status=lambda c: ["unfinished" if n > 40 else x for x, n in zip(c, tokens, strict=True)])
    means = [comparability.came(load_run(folder))["mean output tokens"] for folder in (one, two)]
    assert means[1] < 0.8 * means[0]  # type: ignore[operator]
    assert texts(one, two) == []


def test_another_seed_s_lengths_are_held_against_what_was_asked(tmp_path: Path) -> None:
    one, two = (
        made(tmp_path / "one", arrivals="constant"),
        made(tmp_path / "two", arrivals="constant", seed=2),
    )
    assert texts(one, two, minimum_effect=0.001) == []
    edit(two, output_tokens=scaled(0.5))
    assert texts(one, two) == [
        "answers have 0.5 times the tokens asked with baseline, 1 times the tokens asked with baseline "
        "(of the completed requests)"
    ]


def test_tokens_counted_in_another_way(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one"), made(tmp_path / "two", variant="optimized")
    edit(two, output_tokens=scaled(0.25), tokens_from=lambda column: ["chunks"] * len(column))
    assert texts(one, two) == [
        "the tokens of answers were counted by the chunks that came with optimized, "
        "by the server with baseline"
    ]


def test_a_few_odd_answers_are_no_other_way_of_counting(tmp_path: Path) -> None:
    one = made(tmp_path / "one")
    two = edit(
        made(tmp_path / "two"), tokens_from=lambda c: ["chunks" if k == 200 else x for k, x in enumerate(c)]
    )
    assert texts(one, two) == []


def by_answers(run: Run) -> Run:
    """The same run, of a tool whose requests were due when an answer had come."""
    return dataclasses.replace(
        run, limits=dataclasses.replace(run.limits, figures={"offered_rate": "none"}), memo={}
    )


def test_another_rate_is_another_load_unless_answers_set_it(tmp_path: Path) -> None:
    one = made(tmp_path / "one", arrivals="constant")
    two = made(tmp_path / "two", arrivals="constant", rate=21, seed=2, variant="optimized")
    edit_manifest(two, scenario=read_manifest(one).scenario)
    found = compared(one, two)
    assert (
        found.metrics[0].changes[0].reason == "21.00 req/s were due with optimized, 20.00 req/s with baseline"
    )
    assert {metric.changes[0].mark for metric in found.metrics} == {"not comparable"}
    runs = [by_answers(load_run(folder)) for folder in (one, two)]
    assert comparability.differences(runs[:1], runs[1:], 0.03) == []
    for folder in (one, two):
        edit_manifest(folder, scenario={"arrivals": {"process": "closed-loop", "concurrency": 4}})
    assert texts(one, two) == []


def test_turns_that_follow_an_answer_are_not_offered_by_the_schedule(tmp_path: Path) -> None:
    """A faster server has more later turns in the window; the conversations begun are the load."""
    one, two = (
        made(tmp_path / "one", arrivals="constant"),
        made(tmp_path / "two", arrivals="constant", rate=21),
    )
    extra = np.arange(pq.read_metadata(two / "requests.parquet").num_rows) % 21 == 20
    edit(two, turn=lambda column: [int(late) for late in extra])
    assert texts(one, two) == []


@pytest.mark.parametrize(("share", "warns"), [(0.02, True), (0.005, False)])
def test_answers_shorter_than_asked_are_a_warning(tmp_path: Path, share: float, warns: bool) -> None:
    """No failure: other hosts, tool calls and clients of one's own end where they end."""
    folder = made(tmp_path / "one")
    every = round(1 / share)
    edit(folder, output_tokens=lambda c: [x // 2 if k % every == 0 else x for k, x in enumerate(c)])
    rules = {rule.rule: rule for rule in check(load_run(folder))}
    rule = rules["answer_lengths"]
    assert rule.passed is not warns
    assert verdict([rule]).label == "VALID"
    if warns:
        report = compared(folder)
        assert any("answers are shorter than asked" in each.text for each in report.insights)


@pytest.mark.parametrize(
    "columns",
    [
        {"output_asked": lambda c: [None] * len(c)},
        {"tokens_from": lambda c: ["chunks"] * len(c)},
    ],
)
def test_answers_without_a_length_to_hold_them_to_are_not_checked(
    tmp_path: Path, columns: dict[str, Callable[[list[Any]], list[Any]]]
) -> None:
    folder = edit(made(tmp_path / "one"), **columns)
    assert not {rule.rule: rule for rule in check(load_run(folder))}["answer_lengths"].checked

"""curve: its rates, their order, what resumes, and a report over synthetic runs of two known queues."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from xml.etree import ElementTree

import pytest

from bench.synthetic import make_run
from campaign.curve import order
from campaign.curve import run as run_curve
from campaign.load import Load
from common.usage import UsageError
from reports.curve.chart import pareto
from reports.curve.points import SUSTAINED, Point, changes, divisor, front
from reports.curve.words import Sides, sentence
from reports.document.metric import Change, Mark
from reports.runs.runs import load_run
from reports.verdict.judge import judge, write_summary
from tests.support.make_step import make_step
from tokenswarm.__main__ import parse

SCENARIO = """
rate: 20
duration: 20
warmup: 2
prompt_tokens: 50
output_tokens: 40
slo: {ttft: 0.5, tpot: 0.05, share: 0.99}
"""


class Servers:
    """Stands for the runs: "few" answers soon and has few places, "many" is slower and has many."""

    SHAPES: ClassVar[dict[str, dict[str, Any]]] = {
        "few": {"slots": 8, "ttft": 0.03},
        "many": {"slots": 60, "ttft": 0.06},
    }

    def __init__(self, stop: int | None = None) -> None:
        self.made: list[tuple[str, float | None]] = []
        self.stop = stop  # the number of the run at which somebody interrupts

    def run(self, load: Load, variant: str, folder: Path) -> int:
        asked = load.resolved()
        if len(self.made) == self.stop:
            return 130
        self.made.append((variant, asked.rate))
        make_step(folder, load, variant, drain=asked.drain, jitter=0.03, **self.SHAPES[variant])
        write_summary(folder, judge(load_run(folder)))
        return 0


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path / "results"))
    (tmp_path / "quick.yaml").write_text(SCENARIO)


def words(folder: Path, *more: str) -> list[str]:
    given = ["curve", "few", "many", "--host", "http://127.0.0.1:1", "--scenario", str(folder / "quick.yaml")]
    return [*given, *more]


def test_a_curve_resumes_and_says_which_variant_to_take_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = words(tmp_path, "--rates", "5,10,15,30,60,150")
    first = Servers(stop=7)
    assert run_curve(parse(asked), first.run) == 130 and len(first.made) == 7
    second = Servers()
    assert run_curve(parse(asked), second.run) == 0
    assert [variant for variant, _ in first.made] == ["few"] * 6 + ["many"]
    assert len(second.made) == 5, "what was done stays"
    few, many = (
        [rate for name, rate in first.made + second.made if name == each] for each in ("few", "many")
    )
    assert few == many and few != sorted(filter(None, few))
    said = capsys.readouterr().err
    assert "few meets the SLO up to " in said and "many meets the SLO up to " in said
    assert "TTFT (service) p50: below " in said and " take few, above it many" in said
    [folder] = (tmp_path / "results" / "reports").iterdir()
    found = json.loads((folder / "curve.json").read_text())
    assert 12 < found["limits"]["few"]["rate"] < 20 and 100 < found["limits"]["many"]["rate"] < 150
    assert len(found["points"]) == 12 and any(each["pareto_optimal"] for each in found["points"])
    for name in ("figures-against-rate", "per-user-against-per-gpu"):
        ElementTree.parse(folder / f"{name}.svg")
    assert (folder / "README.md").read_text().count("\n| ") >= 12


def test_rates_are_taken_neither_rising_nor_falling() -> None:
    assert order([5, 10, 20, 40]) == [5, 20, 10, 40]
    assert sorted(order([3, 1, 2])) == [1, 2, 3]


@pytest.mark.parametrize(
    ("rates", "told"), [("5,x", "write numbers with commas"), ("5,5", "each once"), ("0", "more than 0")]
)
def test_rates_that_are_none_are_named_before_anything_starts(rates: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        run_curve(parse(words(tmp_path, "--rates", rates)), Servers().run)
    assert not (tmp_path / "results").exists()


def change(mark: Mark, size: float) -> Change:
    given = {"variant": "B", "mark": mark, "change": size, "low": None, "high": None}
    return Change.model_validate(given | {"display": "", "display_interval": "", "reason": ""})


@pytest.mark.parametrize(
    ("marks", "told"),
    [
        (
            [("worse", 0.2), ("worse", 0.1), ("better", -0.1)],
            "below 13.9 req/s take A, above it B (shown at 10",
        ),
        ([("better", -0.2)] * 3, "take B (shown at 5, 10 and 20 req/s)"),
        ([("no difference shown", 0.0)] * 3, "no difference shown at any rate"),
        ([("worse", 0.2), ("better", -0.1), ("worse", 0.1)], "changes sides more than once: A at 5, B at 10"),
    ],
)
def test_where_two_variants_cross_in_words(marks: list[tuple[Mark, float]], told: str) -> None:
    found = dict(zip((5.0, 10.0, 20.0), [change(*each) for each in marks], strict=True))
    assert told in sentence(Sides("TTFT p50", "A", "B", found))


def test_tokens_that_come_faster_to_those_whom_a_full_server_serves_are_no_win(tmp_path: Path) -> None:
    def point(variant: str, slots: int, tpot: float) -> Point:
        folder = tmp_path / variant
        folder.mkdir()
        make_run(folder, rate=30, duration=20, warmup=2, drain=20, slots=slots, tpot=tpot, variant=variant)
        return Point(variant, 30.0, load_run(folder))

    many, few = point("many", 200, 0.03), point("few", 8, 0.02)
    assert few.readings["tpot_p50"].value < many.readings["tpot_p50"].value  # type: ignore[operator]
    assert few.fell_behind and not many.fell_behind
    found = changes(many, few, 0.03)
    assert found["output_token_throughput"].mark == "worse"
    assert found["tpot_p50"].mark == "not comparable"


@pytest.mark.parametrize("broken", ["SATURATED", "DISTURBED", "CLIENT-LIMITED", "INVALID"])
def test_a_point_that_nobody_can_choose_is_on_no_front_and_beats_none(broken: str) -> None:
    def point(rate: float, per_user: float, per_gpu: float, verdict: str = "VALID") -> Any:
        return SimpleNamespace(
            variant="A",
            rate=rate,
            per_user=per_user,
            per_gpu=per_gpu,
            sustained=verdict in SUSTAINED,
            verdict=verdict,
        )

    best, beaten, full = point(5, 50, 100), point(10, 40, 90), point(20, 60, 300, broken)
    every = [best, beaten, full]
    assert front(every, 0.03) == [best]
    [panel] = pareto(every, front(every, 0.03), ["A"], "GPU").panels
    assert [(each.name, each.symbol) for each in panel.series] == [
        ("A", "dot"),
        ("A, beaten", "ring"),
        ("A, not sustained", "cross"),
    ]


@pytest.mark.parametrize(("kinds", "whose"), [(["cpu", "cpu"], "machine"), (["gpu"], "GPU"), ([None], "GPU")])
def test_tokens_are_told_per_machine_where_no_gpu_makes_them(kinds: list[str | None], whose: str) -> None:
    servers = [None if kind is None else {"hardware": {"kind": kind}} for kind in kinds]
    runs = [SimpleNamespace(manifest=SimpleNamespace(server=server)) for server in servers]
    every: Any = [SimpleNamespace(run=run) for run in runs]
    assert divisor(every) == whose


def test_what_fell_behind_is_not_to_be_taken() -> None:
    found = {10.0: change("better", -0.1), 20.0: change("worse", 0.2)}
    told = sentence(Sides("TPOT p50", "A", "B", found, {10.0: ["B"]}))
    assert told == "TPOT p50: take A (shown at 20 req/s)."
    told = sentence(Sides("TPOT p50", "A", "B", {10.0: found[10.0]}, {10.0: ["B"]}))
    assert told == "TPOT p50: better only where the server fell behind: B at 10 req/s."

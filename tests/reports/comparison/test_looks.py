"""When the repeats that are left are not needed; and how often all looks together claim what is not there."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.verdict import CHAT_MEDIUM, run_of
from reports.comparison.claims import APART, level
from reports.comparison.looks import Standing, ended, look, sharing, standing
from reports.document.metric import Change, Mark
from reports.runs.runs import Run
from reports.statistics.distributions import student_quantile


def change(mark: Mark, low: float | None, high: float | None, more: int | None = None) -> Change:
    given = {"variant": "B", "mark": mark, "change": 0.0, "low": low, "high": high, "more_runs": more}
    return Change.model_validate(given | {"display": "", "display_interval": "", "reason": ""})


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (change("worse", 0.1, 0.3), "shown"),
        (change("no difference shown", -0.02, 0.02), "within"),
        (change("no difference shown", -0.1, 0.2, 4), "open"),
        (change("no difference shown", -0.1, 0.2, 6), "hopeless"),
        (change("no difference shown", -0.1, 0.2), "hopeless"),
        (change("not comparable", None, None), "hopeless"),
        (change("unstable", -0.1, 0.2), "open"),
    ],
)
def test_what_one_figure_says(found: Change, told: Standing) -> None:
    assert standing(found, 0.03, 5) == told


STANDINGS = some.lists(some.sampled_from(["shown", "within", "hopeless", "open"]), min_size=1)


@given(some.dictionaries(some.sampled_from("BCD"), STANDINGS, min_size=1), some.integers(1, 5))
def test_it_ends_where_nothing_is_open_and_says_why(found: dict[str, list[Standing]], repeats: int) -> None:
    told, every = ended(found, repeats, 5), [each for rows in found.values() for each in rows]
    assert (told is None) == (repeats == 5 or "open" in every)
    assert ended(found, repeats, 5, give_up=False) == (None if "hopeless" in every else told)
    if told is not None:
        assert told.startswith(f"stopped after {repeats} of 5 repeats: ")
        assert ("every claim is decided" in told) == ("hopeless" not in every)


@pytest.mark.parametrize("most", [3, 5, 10])
def test_all_looks_together_claim_falsely_in_at_most_a_twentieth(most: int) -> None:
    """Of 20,000 series without a difference, the t interval of the pairs so far looked at after each."""
    series = np.random.default_rng(1).standard_normal((20_000, most))
    claimed, plain = np.zeros(len(series), bool), np.zeros(len(series), bool)
    for count in range(2, most + 1):
        so_far = series[:, :count]
        t = np.abs(so_far.mean(axis=1)) / (so_far.std(axis=1, ddof=1) / np.sqrt(count))
        claimed |= t > student_quantile(count - 1, (1 + level(sharing(count, most) / APART)) / 2)
        plain |= t > student_quantile(count - 1, 0.975)
    assert claimed.mean() < 0.05 < plain.mean(), "without the bound there would be more"
    assert sum(1 / sharing(number, most) for number in range(1, most + 1)) == pytest.approx(1)
    assert level(sharing(most, most)) < 0.986, "and the last look claims nearly what one alone would"


def runs_of(slower: float, repeats: int) -> dict[str, list[Run]]:
    made: dict[str, list[Run]] = {"A": [], "B": []}
    for number in range(2 * repeats):
        variant, by = ("A", 1.0) if number % 2 == 0 else ("B", slower)
        shape = dataclasses.replace(CHAT_MEDIUM, noise_seed=number, seed=number // 2, variant=variant)
        shape = dataclasses.replace(shape, ttft=shape.ttft * by, tpot=shape.tpot * by)
        made[variant].append(run_of(shape, f"{number}-{variant}"))
    return made


def test_a_server_that_is_twice_as_slow_is_shown_and_a_broken_run_leaves_all_open() -> None:
    groups = runs_of(2.0, 1)
    verdicts = {run.name: "VALID" for each in groups.values() for run in each}
    found = look(groups, verdicts, 0.03, (1, 3))
    assert "shown" in found["B"] and "open" not in found["B"]
    broken = look(groups, verdicts | {groups["B"][0].name: "INVALID"}, 0.03, (1, 3))
    assert set(broken["B"]) == {"open"} and ended(broken, 1, 3) is None


def test_who_is_shown_to_serve_less_is_decided_by_that() -> None:
    few = dataclasses.replace(CHAT_MEDIUM, variant="B", slots=30, noise_seed=2)
    groups = {"A": [run_of(CHAT_MEDIUM, "1-A")], "B": [run_of(few, "2-B")]}
    assert look(groups, {"1-A": "VALID", "2-B": "SATURATED"}, 0.03, (1, 3)) == {"B": ["shown"]}

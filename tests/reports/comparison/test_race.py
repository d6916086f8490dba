"""Who is beaten in a race, what its last word is, and how often either is wrong."""

import dataclasses
import itertools
import math
from collections.abc import Mapping

import numpy as np

from bench.verdict import CHAT_MEDIUM, run_of
from reports.comparison.claims import APART
from reports.comparison.race import Race, last_word, pairs, race
from reports.metrics import catalogue
from reports.metrics.catalogue import ROW, Row
from reports.runs.runs import Run

LATENCY, PACE, EFFECT = ROW["latency_p50"], ROW["tpot_p50"], 0.03
SHORT = dataclasses.replace(CHAT_MEDIUM, duration=15.0, rate=4.0, warmup=1.0, slots=None)


def start(variant: str, number: int, **changes: float) -> Run:
    """A short run of a variant, the `number`th of all."""
    at = f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}+00:00"
    shape = dataclasses.replace(SHORT, variant=variant, noise_seed=number, started_at=at)
    return run_of(dataclasses.replace(shape, **changes), f"{number:03d}-{variant}")  # type: ignore[arg-type]


def starts(repeats: int, variants: Mapping[str, Mapping[str, float]]) -> dict[str, list[Run]]:
    """So many of each, in turn."""
    turns = itertools.product(range(repeats), variants)
    made: dict[str, list[Run]] = {name: [] for name in variants}
    for number, (_, name) in enumerate(turns):
        made[name].append(start(name, number, **variants[name]))
    return made


def held(groups: Mapping[str, list[Run]], by: Row = LATENCY, looks: float = 9, broken: str = "") -> Race:
    verdicts = {run.name: "VALID" for runs in groups.values() for run in runs}
    verdicts |= {groups[broken][0].name: "INVALID"} if broken else {}
    return race(groups, verdicts, by, EFFECT, looks)


def slow(factor: float) -> dict[str, float]:
    return {"ttft": SHORT.ttft * factor, "tpot": SHORT.tpot * factor}


def test_the_quickest_leads_and_whoever_is_twice_as_slow_is_beaten() -> None:
    found = held(starts(3, {"slow": slow(2), "quick": slow(1), "same": slow(1)}))
    assert found.leader in ("quick", "same") and found.beaten == ["slow"]
    assert found.rivals["slow"].text.startswith("Latency (service) p50 +")
    alone = held(starts(3, {"slow": slow(2), "quick": slow(1)}))
    assert last_word(alone, ["other"], EFFECT).startswith(
        "quick is best by Latency (service) p50 (2 shown beaten; 95 % confidence"
    )


def test_who_attains_less_of_the_slo_is_beaten_however_quick() -> None:
    found = held(starts(5, {"sound": slow(1.2), "hasty": slow(0.8) | {"failed_share": 0.4}}))
    assert found.leader == "sound" and found.beaten == ["hasty"]
    assert found.rivals["hasty"].row.name == "slo_attainment"
    by = held(starts(4, {"sound": slow(1.2), "hasty": slow(0.8)}))
    assert by.leader == "hasty", "where both meet it the figure decides"


def test_equal_servers_end_within_the_effect_that_matters() -> None:
    quiet = {"jitter": 0.0, "wobble": 0.0}
    found = held(starts(4, {"one": quiet, "two": quiet}))
    assert found.decided and not found.beaten
    told = last_word(found, [], EFFECT)
    assert " is within 3 % of the best by Latency (service) p50 (" in told and "no better by more" in told


def test_a_broken_run_leaves_it_open_and_does_not_lead() -> None:
    found = held(starts(3, {"broken": slow(0.3), "sound": slow(1)}), broken="broken")
    assert found.leader == "sound" and not found.decided and not found.beaten
    told = last_word(found, [], EFFECT)
    assert told.startswith("not decided: sound leads") and "is INVALID" in told


def test_the_last_word_says_where_even_the_leader_misses_the_slo() -> None:
    groups = starts(3, {"one": {"failed_share": 0.2}, "two": slow(3) | {"failed_share": 0.2}})
    assert "of arrivals met the SLO of 99 %" in last_word(held(groups), [], EFFECT)


BASE = start("base", 0)


def drawn(variant: str, number: int, log: float) -> Run:
    """A run with the figures of BASE but for its times, which are exp(log) times as long."""
    at = f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}+00:00"
    manifest = BASE.manifest.model_copy(
        update={"variant": variant, "started_at": at, "run": f"{number:03d}-{variant}"}
    )
    memo = dict(BASE.memo)
    for row in (LATENCY, PACE):
        was = catalogue.figure(BASE, row)
        figure = dataclasses.replace(was, value=(was.value or 0.0) * math.exp(log))
        memo[(catalogue.figure.__wrapped__, (row,), ())] = figure  # type: ignore[attr-defined]
    return dataclasses.replace(BASE, manifest=manifest, memo=memo)


def races(count: int, logs: Mapping[str, float], sd: float, repeats: int, looks: float) -> tuple[int, int]:
    """(races in which the quickest, or a variant as quick as it, was dropped; in which somebody was)."""
    chance, wrong, some_out = np.random.default_rng(5), 0, 0
    quickest = min(logs.values())
    for _ in range(count):
        left: dict[str, list[Run]] = {name: [] for name in logs}
        out: list[str] = []
        for repeat in range(repeats):
            for place, name in enumerate(left):
                log = logs[name] + sd * chance.standard_normal()
                left[name].append(drawn(name, repeat * len(logs) + place, log))
            if repeat:
                beaten = held(left, looks=looks).beaten
                out += beaten
                left = {name: runs for name, runs in left.items() if name not in beaten}
        wrong += any(logs[name] == quickest for name in out)
        some_out += bool(out)
    return wrong, some_out


def test_equal_variants_are_dropped_in_at_most_a_twentieth_of_races() -> None:
    equal = {"A": 0.0, "B": 0.0, "C": 0.0}
    wrong, _ = races(40, equal, 0.1, 4, 4 * pairs(3))
    assert wrong <= 2
    unshared, _ = races(40, equal, 0.1, 4, 1 / APART)
    assert unshared > 2, "where each look of each pair has the 5 % for itself there are more"


def test_the_slower_are_dropped_and_the_best_stays() -> None:
    wrong, some_out = races(20, {"A": 0.0, "B": 0.3, "C": 0.5}, 0.02, 5, 5 * pairs(3))
    assert wrong == 0 and some_out == 20

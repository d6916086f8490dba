"""How often a race ends right: `tokenswarm bench race`.

Simulated servers race as `tokenswarm tune` lets them: equally fast ones, and one that is quicker than others.
Each start has a pace of its own. Each look goes through the report's own statistics.
"""

import dataclasses
import math
import time
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass

import numpy as np

from bench.verdict import CHAT_MEDIUM, run_of
from common.usage import UsageError, whole
from reports.commands.compare import MINIMUM_EFFECT
from reports.comparison.race import USUAL, Race, pairs, race
from reports.metrics.catalogue import ROW
from reports.runs.runs import Run

LOOKS = 10
MOST_WRONG = 0.05
SHORT = dataclasses.replace(CHAT_MEDIUM, duration=15.0)  # what `--starts` gives each
EFFECT = MINIMUM_EFFECT / 100


@dataclass(frozen=True)
class Field:
    """Who races: how many times as long each takes for a token, the best first."""

    name: str
    slower: tuple[float, ...]
    starts: float  # sd of the logarithm of the pace from start to start


FIELDS = (
    Field("three alike", (1.0, 1.0, 1.0), 0.02),
    Field("three alike, starts of sd 10 %", (1.0, 1.0, 1.0), 0.10),
    Field("2 % and 30 % slower", (1.0, 1.02, 1.3), 0.02),
    Field("10 % and 30 % slower", (1.0, 1.1, 1.3), 0.02),
    Field("five, 10 to 50 % slower", (1.0, 1.1, 1.2, 1.3, 1.5), 0.02),
)


@dataclass(frozen=True)
class Ended:
    """One race: whether the best (or one as good) dropped out, whether its last word is true, runs made."""

    dropped: bool
    word: str  # "best", "within", "open"
    true: bool
    runs: int


def one(field: Field, number: int) -> Ended:
    """A race to its end."""
    chance, best = np.random.default_rng([number, 17]), min(field.slower)
    left: dict[str, list[Run]] = {"ABCDEFGH"[place]: [] for place in range(len(field.slower))}
    speed = dict(zip(left, field.slower, strict=True))
    looks, made, dropped = LOOKS * pairs(len(left)), 0, False
    for _ in range(LOOKS):
        for name, runs in left.items():
            pace = math.exp(field.starts * chance.standard_normal()) * speed[name]
            runs.append(_start(name, number, made, pace))
            made += 1
        found = race(
            left, {r.name: "VALID" for runs in left.values() for r in runs}, ROW[USUAL], EFFECT, looks
        )
        dropped |= any(speed[name] == best for name in found.beaten)
        left = {name: runs for name, runs in left.items() if name not in found.beaten}
        if found.decided:
            break
    return Ended(dropped, *_word(found, left, speed), made)


def _word(found: Race, left: dict[str, list[Run]], speed: dict[str, float]) -> tuple[str, bool]:
    if len(left) == 1:
        return "best", speed[found.leader] == min(speed.values())
    if found.decided:
        return "within", speed[found.leader] <= (1 + EFFECT) * min(speed.values())
    return "open", True


def _start(name: str, number: int, made: int, pace: float) -> Run:
    shape = dataclasses.replace(
        SHORT,
        ttft=SHORT.ttft * pace,
        tpot=SHORT.tpot * pace,
        seed=number,
        noise_seed=1000 * number + made,
        variant=name,
        started_at=f"2026-01-01T{made // 60:02d}:{made % 60:02d}:00+00:00",
    )
    return run_of(shape, f"{made:04d}")


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--races", type=whole, default=200, help="of each kind (default: 200)")


def run(given: Namespace) -> int:
    """Exit code 0 when at most 5 % of the races of each kind are wrong, 1 when not."""
    if given.races < 1:
        raise UsageError(f"--races {given.races}: must be 1 or more")
    began, holds = time.process_time(), True
    print('| who races | the best dropped | ended "best" | "within 3 %" | not decided | untrue | runs |')
    print("|---|---:|---:|---:|---:|---:|---:|")
    for field in FIELDS:
        ended = [one(field, number) for number in range(given.races)]
        shares = [sum(each.dropped for each in ended)]
        shares += [sum(each.word == word for each in ended) for word in ("best", "within", "open")]
        shares.append(sum(not each.true for each in ended))
        cells = " | ".join(f"{100 * share / given.races:.1f} %" for share in shares)
        most = LOOKS * len(field.slower)
        print(f"| {field.name} | {cells} | {np.median([e.runs for e in ended]):.0f} of {most} |", flush=True)
        holds &= sum(each.dropped or not each.true for each in ended) <= MOST_WRONG * given.races
    print(f"\n{given.races} races each; {time.process_time() - began:.0f} s of CPU")
    return 0 if holds else 1

"""curve.json and README.md of variants over a range of rates. Times in curve.json are seconds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.results import write_json, write_whole
from common.usage import UsageError
from reports.charts.svg import draw
from reports.curve import chart, words
from reports.curve.chart import FIGURE as FIGURE
from reports.curve.chart import PARETO as PARETO
from reports.curve.points import ROWS, Point, changes, divisor, front, limit
from reports.runs.runs import load_run
from reports.statistics.crossing import Crossing, Redraw
from reports.text import formatting
from reports.text.escape import inline

MINIMUM_EFFECT = 0.03


@dataclass(frozen=True)
class Curve:
    """All points, the rate at which each variant leaves the SLO, and which variant to take at which rate."""

    name: str
    points: Sequence[Point]
    limits: Mapping[str, Crossing | None]
    sentences: Sequence[str]
    front: Sequence[Point]
    refused: Mapping[str, str]  # variants that were not served, and why

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(point.variant for point in self.points))


def write(
    name: str,
    runs: Sequence[tuple[str, float, Path]],
    refused: Mapping[str, str],
    folder: Path,
    redraw: Redraw | None = None,
) -> list[str]:
    """Write the report of (variant, rate, run folder) into a folder; what it says first.

    `redraw`: the arrivals of many more such runs at a rate, where the scenario says them.
    """
    points = [Point(variant, rate, load_run(path)) for variant, rate, path in runs]
    found = curve(points, name, refused, redraw)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "curve.json", to_json(found))
        (folder / f"{FIGURE}.svg").write_bytes(draw(chart.rates(found.points, found.variants)))
        speeds = chart.pareto(found.points, found.front, found.variants, divisor(found.points))
        (folder / f"{PARETO}.svg").write_bytes(draw(speeds))
        write_whole(folder / "README.md", readme(found))
    except OSError as error:
        raise UsageError(f"{folder}: the report cannot be written: {error.strerror}") from None
    return [headline(found), *found.sentences]


def curve(
    points: Sequence[Point], name: str, refused: Mapping[str, str], redraw: Redraw | None = None
) -> Curve:
    """What the points add up to."""
    points = sorted(points, key=lambda point: point.rate)
    variants = list(dict.fromkeys(point.variant for point in points))
    slo = points[0].run.manifest.scenario.get("slo") or {}
    mine = {variant: [point for point in points if point.variant == variant] for variant in variants}
    limits = {variant: limit(mine[variant], slo, redraw) if slo else None for variant in variants}
    sentences = [text for other in variants[1:] for text in _sentences(points, variants[0], other)]
    return Curve(name, points, limits, sentences, front(points, MINIMUM_EFFECT), refused)


def _sentences(points: Sequence[Point], first: str, other: str) -> Iterator[str]:
    one, two = ({p.rate: p for p in points if p.variant == name} for name in (first, other))
    found = {rate: changes(one[rate], two[rate], MINIMUM_EFFECT) for rate in sorted(one.keys() & two.keys())}
    behind = {rate: [p.variant for p in (one[rate], two[rate]) if p.fell_behind] for rate in found}
    for row in ROWS:
        by_rate = {rate: each[row.name] for rate, each in found.items()}
        yield words.sentence(words.Sides(row.label, first, other, by_rate, behind))


def headline(found: Curve) -> str:
    """The rate up to which each variant meets the SLO."""
    return words.headline([(variant, _limit(found, variant)) for variant in found.variants])


def _limit(found: Curve, variant: str) -> tuple[float, float, float] | str:
    known = found.limits[variant]
    return (
        "leaves the SLO at no rate that can be told from these"
        if known is None
        else (known.rate, *known.interval)
    )


def to_json(found: Curve) -> dict[str, Any]:
    """curve.json; docs/curve.md explains it."""
    return {
        "name": found.name,
        "limits": {
            variant: None if each is None else {"rate": each.rate, "interval": each.interval}
            for variant, each in found.limits.items()
        },
        "sentences": list(found.sentences),
        "refused": dict(found.refused),
        "points": [_point(point, point in found.front) for point in found.points],
    }


def _point(point: Point, optimal: bool) -> dict[str, Any]:
    return {
        "variant": point.variant,
        "rate": point.rate,
        "run": point.run.name,
        "verdict": point.verdict,
        "gpus": point.gpus,
        "pareto_optimal": optimal,
        "figures": {name: vars(each) for name, each in point.readings.items()},
    }


def readme(found: Curve) -> str:
    """README.md of the report."""
    parts = [f"# {inline(' and '.join(found.variants))} over {len({p.rate for p in found.points})} rates"]
    parts.append(f"**{inline(headline(found))}**")
    parts += ["\n".join(f"- {inline(text)}" for text in found.sentences)] if found.sentences else []
    parts += [f"{inline(name)} was not served: {inline(why)}" for name, why in found.refused.items()]
    parts.append(f"![Figures against the offered rate](./{FIGURE}.svg)")
    parts.append(f"![Tokens/s per user against tokens/s per {divisor(found.points)}](./{PARETO}.svg)")
    parts += ["## Points", _table(found)]
    return "\n\n".join(parts) + "\n"


def _table(found: Curve) -> str:
    heads = ["variant", "req/s", *(f"{row.label}, {row.display_unit}" for row in ROWS), "verdict", "run"]
    lines = [heads, ["---", *["---:"] * (1 + len(ROWS)), "---", "---"]]
    for point in found.points:
        cells = [_cell(point, row.name, row.display_unit) for row in ROWS]
        lines.append([point.variant, f"{point.rate:g}", *cells, point.verdict, point.run.name])
    text = "\n".join(f"| {' | '.join(line if line[0] == '---' else map(inline, line))} |" for line in lines)
    return f"{text}\n\nIn brackets the 95 % interval, from blocks of the run's time."


def _cell(point: Point, name: str, unit: str) -> str:
    found = point.readings[name]
    shown = formatting.number(found.value, unit, found.above)
    if found.low is None or found.high is None:
        return shown
    return f"{shown} ({formatting.number(found.low, unit)} to {formatting.number(found.high, unit)})"

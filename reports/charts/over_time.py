"""The charts that have time on their x axis: rates and requests over time, and the waterfall."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from loadgen.records.record import COMPLETED, FAILED, LOST, UNFINISHED
from reports.charts.chart import Chart, Floats, Mark, Panel, Series, thin_line
from reports.metrics import machine, time_series
from reports.metrics.server_side import KV_CACHE
from reports.runs.runs import Mask, Run
from reports.runs.server_metrics import Together

BINS = 200
RUG_LIMIT = 1500
WATERFALL_ROWS = 60
SECONDS = "seconds from the run's start"
RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"


def timelines(shown: Sequence[tuple[int, Run]], repeats: Sequence[int]) -> list[Chart]:
    """One chart for each (variant's index, its first run), all with the same axes."""
    if not shown:
        return []
    end = max(run.manifest.drained_at for _, run in shown)
    rate = 1.06 * max(_most_per_second(run) for _, run in shown)
    most = 1.06 * max(_most_requests(run) for _, run in shown)
    cache = max(_most_cache(run) for _, run in shown)
    return [
        _timeline(run, variant, (end, rate, most, cache), count)
        for (variant, run), count in zip(shown, repeats, strict=True)
    ]


def _most_per_second(run: Run) -> float:
    _, offered, completed, _ = _binned(run)
    return max(1.0, float(offered.max(initial=0)), float(completed.max(initial=0)))


def _most_requests(run: Run) -> float:
    most = max(1.0, float(time_series.per_second(run).in_flight.max(initial=0)))
    for gauge in (RUNNING, WAITING):
        found = run.server.gauge(gauge)
        most = max(most, float(found[1].max(initial=0))) if found else most
    return most


def _binned(run: Run) -> tuple[Floats, Floats, Floats, int]:
    """(start of each bin, offered/s, completed/s, seconds in a bin): whole seconds, at most BINS."""
    second = time_series.per_second(run)
    width = max(1, math.ceil(len(second.t) / BINS))
    starts = np.arange(0, len(second.t), width)
    spans = np.diff(np.append(starts, len(second.t)))
    offered, completed = np.add.reduceat(second.offered, starts), np.add.reduceat(second.completed, starts)
    return second.t[starts], offered / spans, completed / spans, width


def _timeline(run: Run, variant: int, tops: tuple[float, float, float, float], repeats: int) -> Chart:
    """`tops`: where the axes end, of seconds, requests per second, requests and per cent of the cache."""
    end, rate, most, cache = tops
    due = run.records.numbers("due")
    rug = due[:: max(1, math.ceil(len(due) / RUG_LIMIT))]
    requests = _requests(run, variant)
    panels = [
        _rates(run, variant, rug),
        Panel("Requests in the system", SECONDS, "requests", requests, y_range=(0, most)),
        *_cache(run, variant, cache),
        *_power(run, variant),
        *_cores(run, variant),
    ]
    panels[0] = replace(panels[0], y_range=(0, rate))
    window = [Mark(at, "") for at in run.window]
    shaded = [(each.start, each.end) for each in machine.disturbances(run)]
    panels = [
        replace(panel, x_range=(0, end), marks=panel.marks or window, shaded=shaded) for panel in panels
    ]
    which = f"Run {run.name}" + (f", the first of {repeats}" if repeats > 1 else "")
    ticks = "the arrivals" if len(rug) == len(due) else f"{len(rug):,} of {len(due):,} arrivals"
    which += ". Shaded: others took the cores" if shaded else ""
    missing = "" if len(requests) == 3 else " The server exported no running and waiting requests."
    return Chart(
        f"timeline-{variant}",
        f"Over time: {run.manifest.variant}",
        f"{which}. Ticks at the foot are {ticks}. All variants have the same axes.{missing}",
        f"Rates, requests in the system and KV-cache use over time for {run.manifest.variant}.",
        panels,
        "column",
        height=1.9,
    )


def _rates(run: Run, variant: int, rug: Floats) -> Panel:
    begin, offered, completed, width = _binned(run)
    end = run.manifest.drained_at
    start, stop = run.window
    series = [
        Series("arrivals offered", *_closed(begin, offered, end), "step"),
        Series("completed", *_closed(begin, completed, end), "step", variant, stroke="solid"),
        Series("arrivals", rug, np.zeros(len(rug)), "rug", legend=False),
    ]
    late = stop > 0.7 * end
    marks = [Mark(start, "window"), Mark(stop, "last arrival, drain", after=not late)]
    return Panel(f"Requests per second, in bins of {width} s", SECONDS, "1/s", series, marks=marks)


def _closed(begin: Floats, values: Floats, end: float) -> tuple[Floats, Floats]:
    """A step series that is drawn to its end."""
    return np.append(begin, max(end, float(begin[-1]))), np.append(values, values[-1])


def _requests(run: Run, variant: int) -> list[Series]:
    second = time_series.per_second(run)
    t, in_flight = thin_line(second.t + 0.5, second.in_flight)
    found = [Series("in flight, at the client", t, in_flight, "line")]
    for name, label, stroke in ((RUNNING, "running", "solid"), (WAITING, "waiting", "dotted")):
        points = _gauge(run, name)
        if points is not None:
            found.append(Series(label, *points, "line", variant, stroke=stroke))  # type: ignore[arg-type]
    return found


def _cache(run: Run, variant: int, most: float) -> list[Panel]:
    points = _cache_in_use(run)
    if points is None:
        return []
    t, share = points
    top = 105.0 if most > 20 else max(1.0, 1.3 * most)
    series = [Series("KV cache in use", t, 100 * share, "line", variant, stroke="solid")]
    return [Panel("KV cache in use", SECONDS, "%", series, y_range=(0, top))]


def _power(run: Run, variant: int) -> list[Panel]:
    """Of all the server's GPUs, where they tell it."""
    points = _gauge(run, "gpu:power_watts")
    if points is None:
        return []
    series = [Series("power of the GPUs", *points, "line", variant, stroke="solid")]
    top = 1.1 * max(1.0, float(points[1].max(initial=0)))
    return [Panel("Power of the GPUs", SECONDS, "W", series, y_range=(0, top))]


def _cores(run: Run, variant: int) -> list[Panel]:
    """Who had the cores of each machine that was watched."""
    found = []
    for use in machine.uses(run):
        here = use.end > 0
        begin = np.maximum(use.t[here], 0.0)
        series = [
            Series(name, *_closed(begin, values[here], float(use.end[-1])), "step", which)
            for name, values, which in (
                ("server", use.server, variant),
                ("client", use.client, None),
                ("others and steal", use.others + use.steal, None),
            )
        ]
        series = [replace(series[0], stroke="solid"), series[1], replace(series[2], stroke="dotted")]
        where = "" if use.machine == "master" else f", machine of {use.machine}"
        found.append(
            Panel(
                f"Cores in use, of {use.cores:g}{where}",
                SECONDS,
                "cores",
                series,
                y_range=(0, 1.05 * use.cores),
            )
        )
    return found


def _cache_in_use(run: Run) -> tuple[Floats, Floats] | None:
    return next((found for name in KV_CACHE if (found := _gauge(run, name, "max")) is not None), None)


def _most_cache(run: Run) -> float:
    """Per cent; 0 where it was never exported."""
    points = _cache_in_use(run)
    return 0.0 if points is None else 100 * float(points[1].max(initial=0))


def _gauge(run: Run, name: str, how: Together = "sum") -> tuple[Floats, Floats] | None:
    """A gauge during the run, thinned; None where it was never exported."""
    found = run.server.gauge(name, how)
    if found is None:
        return None
    t, values = found
    inside = (t >= 0) & (t <= run.manifest.drained_at)
    return thin_line(t[inside], values[inside])


def waterfall(shown: Sequence[tuple[int, Run]]) -> Chart | None:
    """A sample of the window's requests: waiting for the first token light, streaming dark."""
    count = min((int(run.judged.sum()) for _, run in shown), default=0)
    if not count:
        return None
    chosen = np.unique(np.linspace(0, count - 1, min(count, WATERFALL_ROWS)).astype(int))
    end = max(run.manifest.drained_at for _, run in shown)
    start = min(run.window[0] for _, run in shown)
    panels = [_waterfall_panel(run, variant, chosen, (start, end)) for variant, run in shown]
    panels[0] = replace(panels[0], y_label="arrival number")
    return Chart(
        "waterfall",
        "Request waterfall",
        f"{len(chosen)} of {count:,} requests of the window, evenly spread, the same in each panel. Light: "
        "due to the first token. Dark: streaming. A cross: failed. A ring: open when the drain ended.",
        "Start, first token and end of sampled requests.",
        panels,
        height=3.8,
    )


def _waterfall_panel(
    run: Run, variant: int, chosen: np.ndarray[tuple[int], np.dtype[np.int64]], span: tuple[float, float]
) -> Panel:
    rows = np.flatnonzero(run.judged)[chosen]
    due, first = run.records.numbers("due")[rows], run.records.numbers("first_token")[rows]
    last, closed = run.records.numbers("last_token")[rows], run.closed_at[rows]
    number = run.records.numbers("arrival")[rows]
    lost = run.records.status_is(LOST)[rows]
    ended = np.where(run.records.status_is(COMPLETED)[rows], last, closed)
    waited = np.where(np.isnan(first), closed, first)
    streamed = ~np.isnan(first) & ~lost
    series = [
        _bars("waiting", due, waited, number, ~lost, variant, faint=True),
        _bars("streaming", first, ended, number, streamed, variant, faint=False),
    ]
    symbols: list[tuple[str, Literal["cross", "ring"]]] = [(FAILED, "cross"), (UNFINISHED, "ring")]
    for status, symbol in symbols:
        here = run.records.status_is(status)[rows]
        if here.any():
            series.append(Series(status, closed[here], number[here], "points", symbol=symbol, legend=False))
    low, high = float(number.min()), float(number.max())
    margin = max(1.0, 0.02 * (high - low))
    late = run.window[1] > span[0] + 0.7 * (span[1] - span[0])
    return Panel(
        run.manifest.variant,
        SECONDS,
        "",
        series,
        x_range=span,
        y_range=(high + margin, low - margin),
        marks=[Mark(run.window[1], "last arrival", after=not late)],
        note=f"{int(lost.sum())} lost, not drawn" if lost.any() else "",
    )


def _bars(
    name: str,
    begin: Floats,
    end: Floats,
    height: Floats,
    which: Mask,
    variant: int,
    faint: bool,
) -> Series:
    return Series(
        name,
        begin[which],
        height[which],
        "segments",
        variant,
        x_end=end[which],
        faint=faint,
        legend=False,
    )

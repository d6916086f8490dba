"""The charts of a report, from its runs and its comparison. Nothing is drawn here.

A chart stays small however many records there are: curves are thinned to some hundred points, the
waterfall shows a sample, and the caption says so.
"""

from collections.abc import Sequence

import numpy as np

from reports.charts.changes import changes
from reports.charts.chart import Chart, Floats, Mark, Panel, Series
from reports.charts.over_time import timelines, waterfall
from reports.document.roofline import Roofline
from reports.document.schema import Comparison
from reports.metrics import request_metrics
from reports.runs.runs import Run

CURVE_POINTS = 300
DURATIONS = {
    "ttft": ("Time to first token", "service TTFT, ms (log)"),
    "tpot": ("Time per output token", "TPOT, ms per token (log)"),
    "latency": ("Request latency", "service latency, ms (log)"),
}


def charts(comparison: Comparison, runs: Sequence[Run]) -> list[Chart]:
    """Every chart of the report, in the order of the report. Of repeats, time series show the first."""
    order = [variant.name for variant in comparison.variants]
    firsts = [next((run for run in runs if run.manifest.variant == name), None) for name in order]
    shown = [(index, run) for index, run in enumerate(firsts) if run is not None]
    repeats = [sum(run.manifest.variant == order[index] for run in runs) for index, _ in shown]
    found = [
        changes(comparison),
        pareto(comparison, order),
        distributions(runs, order),
        *timelines(shown, repeats),
        waterfall(shown),
    ]
    if not comparison.roofline.missing and comparison.roofline.by_batch:
        found.append(roofline_plot(comparison.roofline, order))
    return [chart for chart in found if chart is not None]


def distributions(runs: Sequence[Run], order: Sequence[str]) -> Chart:
    """Kaplan–Meier curves of TTFT, TPOT and latency; a curve that stops below 100 % stops at the share
    that the data can give, and a dashed line carries that share on."""
    panels = [_distribution(name, runs, order) for name in DURATIONS]
    counts = ". ".join(f"{run.name}: {int(run.judged.sum()):,} arrivals" for run in runs)
    return Chart(
        "distributions",
        "Distributions",
        "Share of all arrivals of the window that were done within the time on the axis. A curve that "
        "turns into a dotted line ends where the data end: the rest failed, was lost, or was unfinished at "
        "the end. "
        f"Thinned to {CURVE_POINTS} points for each curve. {counts}.",
        "Cumulative distributions of TTFT, TPOT and latency of each run.",
        panels,
        height=3.4,
    )


def _distribution(name: str, runs: Sequence[Run], order: Sequence[str]) -> Panel:
    title, label = DURATIONS[name]
    curves = []
    for run in runs:
        x, y, seen = curve(run, name)
        if len(x):
            curves.append((order.index(run.manifest.variant), run, x, y, seen))
    high = max((float(x[-1]) for _, _, x, _, _ in curves), default=1000.0) * 1.15
    low = min((float(x[0]) for _, _, x, _, _ in curves), default=1.0) / 1.15
    series, unseen, named = [], [], set()
    for variant, run, x, y, seen in curves:
        first = variant not in named
        named.add(variant)
        series.append(Series(order[variant], x, y, "step", variant, legend=first, faint=not first))
        if seen < 99.95:
            series.append(
                Series(
                    order[variant],
                    [x[-1], high],
                    [y[-1], y[-1]],
                    "line",
                    variant,
                    stroke="dotted",
                    faint=True,
                    legend=False,
                )
            )
            if first:
                unseen.append((100 - seen, run.manifest.variant))
    return Panel(
        title,
        label,
        "% of arrivals" if name == "ttft" else "",
        series,
        x_log=True,
        x_range=(low, high),
        y_range=(0, 103),
        note=_unseen(unseen),
    )


def _unseen(shares: list[tuple[float, str]]) -> str:
    """The percent of each variant that was not seen to its end; of many variants the largest."""
    if len(shares) > 2:
        most, name = max(shares)
        return f"no end seen: up to {most:.1f} % ({name})"
    return "no end seen: " + ", ".join(f"{name} {share:.1f} %" for share, name in shares) if shares else ""


def curve(run: Run, name: str) -> tuple[Floats, Floats, float]:
    """(milliseconds, percent done by then, the percent that was seen to its end), thinned."""
    durations = request_metrics.survival(run, name)
    seen = durations.seen
    if not seen:
        return np.zeros(0), np.zeros(0), 0.0
    shares = np.linspace(1 / durations.count, seen, min(CURVE_POINTS, len(durations.known)))
    points = [(durations.percentile(float(share)).value, share) for share in shares]
    known = [(value, share) for value, share in points if value is not None and value > 0]
    x, y = np.array(known).reshape(-1, 2).T
    return x * 1000, y * 100, 100 * seen


def pareto(comparison: Comparison, order: Sequence[str]) -> Chart | None:
    """Throughput against TTFT of all variants, from three on; rings are beaten in both by another one."""
    points = comparison.pareto
    if len(points) < 3:
        return None
    series = [
        Series(
            point.variant,
            [1000 * point.ttft_p50],
            [point.output_token_throughput],
            "points",
            order.index(point.variant),
            symbol="dot" if point.pareto_optimal else "ring",
            texts=[point.variant],
            legend=False,
        )
        for point in points
    ]
    waits = [1000 * point.ttft_p50 for point in points]
    most = max(point.output_token_throughput for point in points)
    panel = Panel(
        "Up and to the left is better",
        "service TTFT p50, ms (log)",
        "output tokens/s",
        series,
        x_log=True,
        x_range=(min(waits) / 2.5, max(waits) * 2.5),
        y_range=(0, 1.15 * most),
    )
    return Chart(
        "pareto",
        "Throughput against TTFT",
        "Filled: no other variant is shown better in one and worse in neither. Ring: another one is. Shown: "
        "by the mark against the baseline; between two others by the minimum effect size.",
        "Output tokens per second against TTFT p50 of each variant.",
        [panel],
        height=3.4,
    )


def roofline_plot(found: Roofline, order: Sequence[str]) -> Chart:
    """The roof, the model's decode and prefill under it, and where each variant worked."""
    assert found.peak_flops and found.peak_bytes_per_s and found.ridge
    batches = found.by_batch
    intensities = [place.decode_intensity for place in batches] + [batches[0].prefill_intensity, found.ridge]
    intensities += [place.intensity for place in found.operations if place.intensity]
    low, high = min(intensities) / 2.5, max(intensities) * 4
    roof = [low, found.ridge, high]
    scale, unit = (1e12, "TFLOP/s") if found.peak_flops >= 1e13 else (1e9, "GFLOP/s")
    heights = [min(found.peak_flops, at * found.peak_bytes_per_s) / scale for at in roof]
    named = [place for place in batches if place.batch in (1, 8, 64)]
    series = [
        Series("attainable", roof, heights, "line", None, legend=False),
        Series(
            "decode, by batch",
            [place.decode_intensity for place in named],
            [place.decode_attainable / scale for place in named],
            "points",
            None,
            faint=True,
            texts=[f"decode at batch {place.batch:.0f}" for place in named],
            legend=False,
        ),
        Series(
            "prefill",
            [batches[0].prefill_intensity],
            [batches[0].prefill_attainable / scale],
            "points",
            None,
            faint=True,
            texts=[f"prefill of {batches[0].prompt:.0f} tokens"],
            legend=False,
        ),
    ]
    lowest = [heights[0]]
    for place in found.operations:
        if place.intensity and place.flops_per_s:
            lowest.append(place.flops_per_s / scale)
            text = f"{place.variant} measured" + (
                "" if place.batch_mean is None else f", batch {place.batch_mean:.1f}"
            )
            series.append(
                Series(
                    place.variant,
                    [place.intensity],
                    [place.flops_per_s / scale],
                    "points",
                    order.index(place.variant),
                    texts=[text],
                    legend=False,
                )
            )
        elif place.bounds:
            bound = place.bounds
            series.append(
                Series(
                    place.variant,
                    [bound.decode_intensity],
                    [bound.decode_attainable / scale],
                    "points",
                    order.index(place.variant),
                    texts=[f"{place.variant} bound, batch {bound.batch:.1f}"],
                    legend=False,
                )
            )
    panel = Panel(
        f"{found.hardware}",
        "arithmetic intensity, FLOP/byte (log)",
        f"{unit} (log)",
        series,
        x_log=True,
        y_log=True,
        x_range=(low, high),
        y_range=(min(lowest) / 3, found.peak_flops / scale * 3),
        marks=[Mark(found.ridge, f"ridge {found.ridge:,.3g}")],
    )
    measured = any(place.flops_per_s for place in found.operations)
    how = (
        "Measured points are the engine's own count of FLOPs and bytes over the run, divided by its time."
        if measured
        else "The engine exported no FLOPs and bytes: the variants stand at their batch's bound."
    )
    return Chart(
        "roofline",
        "Roofline",
        f"The line is the most that the hardware allows; small dots are the model under it at a context of "
        f"{batches[0].context:,.0f} tokens. {how}",
        "Roofline of the hardware with the model's decode and prefill and each variant.",
        [panel],
        height=4.0,
    )

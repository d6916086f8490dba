"""Forecasts as text for a terminal. Pure."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from forecast.calibration import Calibration
from forecast.forecast import Figure, Forecast
from forecast.kept import Score, medians
from forecast.slo_rate import Limit

COLUMNS = {  # figure: (heading, factor)
    "output_token_throughput": ("tok/s", 1.0),
    "completed_rate": ("done/s", 1.0),
    "ttft_p50": ("TTFT p50 ms", 1e3),
    "ttft_p99": ("TTFT p99 ms", 1e3),
    "tpot_p50": ("TPOT p50 ms", 1e3),
    "latency_mean": ("latency ms", 1e3),
}


def basis(found: Calibration) -> str:
    """What the run taught, in words."""
    base, sequence, context, token, request, crowd = 1e3 * found.step_times.coefficients
    seen, knot = found.step_times.seen, found.step_times.knot
    return (
        f"From {found.run} ({found.gaps:,} gaps): a step takes {base:.3g} ms + {sequence:.3g} ms for each "
        f"sequence that decodes ({sequence + crowd:.3g} beyond {knot:.0f} of them) + {1e3 * context:.3g} ms "
        f"for 1,000 of context + {1e3 * token:.3g} ms for "
        f"1,000 prompt tokens + {request:.3g} ms for each prompt; front end and client add "
        f"{1e3 * found.front_end.base:.3g} ms to TTFT.\n"
        f"Seen: {seen.sequences_low:.0f} to {seen.sequences_high:.0f} sequences a step, prompts of up to "
        f"{seen.tokens_high:,.0f} tokens; beyond that bands widen. 80 % bands in brackets.\n"
    )


def table(found: Sequence[Forecast], limits: Mapping[str, Limit]) -> Table:
    """One row for each setting and rate; bands in brackets under the figures."""
    result = Table(box=None, pad_edge=False)
    result.add_column("setting", no_wrap=True)
    for heading in ("rate", *(heading for heading, _ in COLUMNS.values()), "verdict", "SLO up to /s"):
        result.add_column(heading, justify="right")
    for each in found:
        rate = each.setting.schedule.scenario.mean_rate
        cells = [banded(each.figures[name], factor) for name, (_, factor) in COLUMNS.items()]
        limit = limits.get(each.setting.name)
        result.add_row(
            each.setting.name, "n/a" if rate is None else number(rate), *cells, verdict(each), bounded(limit)
        )
    return result


def line(found: Forecast, basis: str) -> str:
    """The forecast in one line, as it stands before a run."""
    figures = found.figures
    parts = [
        f"{banded(figures[name], factor, ' ')} {heading}"
        for name, (heading, factor) in COLUMNS.items()
        if name in ("output_token_throughput", "ttft_p50", "tpot_p50")
    ]
    return f"forecast for {found.setting.name} from {basis}: {verdict(found)}; " + ", ".join(parts)


def verdict(found: Forecast) -> str:
    called = "SATURATED" if found.saturated else "not saturated"
    return f"{called}, may turn" if found.maybe else called


def banded(figure: Figure, factor: float, between: str = "\n") -> str:
    """`481 (403 to 574)`; a percentile that is not reached is `> x`."""
    if figure.value is None:
        return "never" if figure.low is None else f"> {number(figure.low * factor)}"
    high = "on" if figure.high is None else f"to {number(figure.high * factor)}"
    low = number((figure.low or 0.0) * factor)
    return f"{number(figure.value * factor)}{between}({low} {high})"


def bounded(limit: Limit | None, between: str = "\n") -> str:
    """The SLO's rate and its band; empty where none was looked for."""
    return "" if limit is None else banded(Figure(limit.rate, limit.low, limit.high), 1.0, between)


def worth(limits: Mapping[str, Limit], own: str) -> list[str]:
    """The two settings most worth measuring: those that may raise the SLO's rate most (the band's upper end).

    Not `own`, the run's setting, and none that is forecast to have the same limit as it.
    """
    known = {
        name: limit.high
        for name, limit in limits.items()
        if name != own and limit != limits.get(own) and limit.high is not None
    }
    return sorted(known, key=lambda name: -known[name])[:2]


def score_lines(found: Sequence[Score]) -> list[str]:
    """The error over all history, a figure a line."""
    lines = []
    for name, (median, count, share) in medians(list(found)).items():
        held = "" if share is None else f", {100 * share:.0f} % inside the 80 % band"
        lines.append(f"{COLUMNS[name][0]:12} median error {100 * median:5.1f} % over {count} runs{held}")
    return lines


def number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"

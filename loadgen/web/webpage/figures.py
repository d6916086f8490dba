"""A run's live figures as the web UI shows them: JSON for our page, rows for Locust's tab, CSV."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from locust.runners import STATE_CLEANUP, STATE_RUNNING, STATE_STOPPING

from loadgen.live.live import ALL, COLUMNS, SHARES, Live
from loadgen.records import rates
from loadgen.records.metrics import METRICS
from loadgen.records.rates import RECENT, Rate
from loadgen.records.record import COMPLETED, EMPTY, FAILED, UNFINISHED

TAB = "llm"
TAB_COLUMNS = {"workload": "Workload", "figure": "Figure", "now": "Now"} | {
    **{name: f"{name} (ms)" for name in SHARES},
    "count": "Count",
}
DIGITS = {"1/s": ".2f", "tokens/s": ",.0f"}  # of a rate, by its unit

Rows = list[dict[str, Any]]


def totals(live: Live) -> dict[str, Any]:
    """Counts so far, and the last second's point (live.Point; rates are of the last RECENT s)."""
    counts = live.counts()
    point = live.points[-1].row() if live.points else {}
    return point | {
        "due": live.due,
        "in_flight": live.in_flight,
        "tokens": counts["tokens"],
        **{status: counts[status] for status in (COMPLETED, EMPTY, FAILED, UNFINISHED)},
    }


def tables(live: Live) -> Rows:
    """Percentiles (s) and counts of each metric: of all, then of each workload where there are several;
    and what comes and goes of it (loadgen.live.live.Flow)."""
    return [
        {
            "workload": workload,
            "flow": asdict(live.flow(workload)),
            "metrics": [
                {"metric": metric, "label": METRICS[metric].label, **row}
                for metric, row in live.percentiles(workload).items()
            ],
        }
        for workload in _groups(live)
    ]


def points(live: Live, first: int) -> list[list[float | None]]:
    """The seconds from number `first` on, each as the values of COLUMNS."""
    return [[row[name] for name in COLUMNS] for row in (each.row() for each in live.points[max(first, 0) :])]


def tab_structure() -> list[dict[str, str]]:
    """The columns of Locust's tab."""
    return [{"key": key, "title": title} for key, title in TAB_COLUMNS.items()]


def shown_state(state: str) -> str:
    """Locust's state as its page is told it: the page asks again only while a run is "running", so one that
    heard of a moment in between ("cleanup", "stopping") would never hear of the end."""
    return STATE_RUNNING if state in (STATE_CLEANUP, STATE_STOPPING) else state


def tab_rows(
    live: Live | None, state: str, verdict: tuple[str, str], judged: Mapping[str, Any] | None
) -> Rows:
    """The rows of Locust's tab; without a run, one that says so.

    `judged`: the rates of a finished run's window, which take the place of the last seconds'.
    """
    if live is None:
        return [_row(ALL, "State", state)]
    whole = totals(live)
    recent = f"/s, last {RECENT} s"
    server = [f"{name} {whole[name]:g}" for name in ("running", "waiting") if whole.get(name) is not None]
    of_server = f" (server: {', '.join(server)})" if server else ""
    start, end = live.window
    scope = f"; percentiles: due from {start:g} to {end:g} s" if start else ""
    rows = [
        _row(ALL, "State", state + scope),
        _row(ALL, "Verdict so far" if judged is None else "Verdict", ": ".join(filter(None, verdict))),
        *(_row(ALL, each.label, _rate(each, whole, judged), each.of(live.came())) for each in rates.live()),
        _row(ALL, "In flight", f"{whole['in_flight']}{of_server}"),
        _row(ALL, "Failed", "", whole[FAILED]),
    ]
    for table in tables(live):
        if table["workload"] != ALL:
            rows += _flow_rows(table["workload"], table["flow"], recent, judged is None)
        for row in table["metrics"]:
            figures = {name: milliseconds(row[name]) for name in SHARES}
            rows.append(_row(table["workload"], row["label"], "", row["count"]) | figures)
    return rows


def _rate(each: Rate, whole: dict[str, Any], judged: Mapping[str, Any] | None) -> str:
    value = whole.get(each.name, 0) if judged is None else judged.get(each.name)
    scope = f", last {RECENT} s" if judged is None else " in the window"
    return "" if value is None else f"{value:{DIGITS[each.unit]}} /s{scope}"


def _flow_rows(workload: str, flow: dict[str, Any], recent: str, going_on: bool) -> Rows:
    sent, completed, tokens = (
        f"{flow[name]:{digits}} {recent}" if going_on else ""
        for name, digits in (("sent_rate", ".2f"), ("completed_rate", ".2f"), ("token_rate", ",.0f"))
    )
    return [
        _row(workload, "Sent", sent, flow["sent"]),
        _row(workload, "Completed", completed, flow["completed"]),
        _row(workload, "Output tokens, ended", tokens, flow["tokens"]),
        _row(workload, "In flight", f"{flow['in_flight']}"),
        _row(workload, "Failed", "", flow["failed"]),
    ]


def percentiles_csv(live: Live) -> str:
    """workload, metric, percentiles (s), count."""
    rows = [
        [table["workload"], row["metric"], *(row[name] for name in SHARES), row["count"]]
        for table in tables(live)
        for row in table["metrics"]
    ]
    return _csv(["workload", "metric", *(f"{name}_s" for name in SHARES), "count"], rows)


def seconds_csv(live: Live) -> str:
    """What the charts are drawn from: a row for each second."""
    return _csv(COLUMNS, points(live, 0))


def milliseconds(seconds: float | None) -> str:
    """To four digits, as the buckets behind it (1 %) allow and Locust's two would not."""
    return "" if seconds is None else f"{seconds * 1e3:,.{_decimals(seconds * 1e3)}f}"


def _decimals(value: float) -> int:
    return next((places for places, bound in ((3, 1), (2, 100), (1, 1000)) if value < bound), 0)


def _groups(live: Live) -> Iterator[str]:
    yield ALL
    workloads = live.workloads()
    if len(workloads) > 1:
        yield from workloads


def _row(workload: str, figure: str, now: str, count: int | str = "") -> dict[str, Any]:
    return {"workload": workload, "figure": figure, "now": now, **dict.fromkeys(SHARES, ""), "count": count}


def _csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    """A spreadsheet runs a text that begins like a formula: a quote before it prevents that."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value

"""What the pulses of several lanes add up to."""

from loadgen.live.histogram import Digest
from loadgen.live.live import ALL, Live
from loadgen.records import metrics
from tests.support.pulses import BLANK


def pulse(
    lane: int, t: float, due: int, completed: int, in_flight: int, lag: float = 0.0005
) -> dict[str, object]:
    digest = Digest()
    digest.add(lag)
    return BLANK | {
        "lane": lane,
        "t": t,
        "due": due,
        "in_flight": in_flight,
        "events": completed * 12,
        "counts": {"chat": {"sent": due, "completed": completed, "tokens": completed * 10}},
        "digests": {"chat": {"dispatch_delay": digest.take()}},
    }


def test_live_adds_up_the_lanes() -> None:
    live = Live(60.0, (5.0, 60.0), 2)
    for second in range(12):
        for lane in (0, 1):
            live.pulse(pulse(lane, second, due=second * 5, completed=second * 4, in_flight=second))
        live.tick(float(second), {"running": 3.0})
    point = live.points[-1]
    assert point.rates == {"offered_rate": 10, "completed_rate": 8, "output_token_throughput": 80}
    assert point.in_flight == 22 and point.running == 3.0 and point.waiting is None
    assert live.counts()["completed"] == 88 and live.workloads() == ["chat"]
    assert (
        live.percentiles(ALL).keys() == set(metrics.live())
        and live.percentiles()["dispatch_delay"]["count"] == 24
    )


def test_live_names_what_speaks_against_the_run() -> None:
    behind, late, lost = (Live(60.0, (5.0, 60.0), 1) for _ in range(3))
    for second in range(1, 13):
        behind.pulse(pulse(0, second, due=second * 20, completed=second * 10, in_flight=second * 10))
        behind.tick(float(second), {})
        late.pulse(pulse(0, second, due=second * 20, completed=second * 20, in_flight=1, lag=0.02))
        late.tick(float(second), {})
    lost.lost.add(0)
    assert behind.verdict()[0] == "SATURATED"
    assert late.verdict()[0] == "CLIENT-LIMITED"
    assert lost.verdict()[0] == "INVALID"
    assert Live(60.0, (5.0, 60.0), 1).verdict() == ("", "nothing has completed yet")

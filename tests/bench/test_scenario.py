"""The scenario that `make bench` measures with."""

from bench.load import SCENARIO
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule


def test_each_request_is_alike_and_every_one_counts() -> None:
    scenario = Scenario.load(SCENARIO)
    assert (scenario.warmup, scenario.arrivals.process) == (0, "poisson")
    arrivals = schedule(scenario.with_overrides(rate=100, duration=5), seed=1).arrivals
    assert len(arrivals) > 400
    assert {(arrival.prompt_tokens, arrival.output_tokens) for arrival in arrivals} == {(16, 150)}
    assert all(arrival.due is not None and arrival.due >= 0 for arrival in arrivals)

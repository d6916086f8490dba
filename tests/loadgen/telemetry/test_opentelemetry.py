"""The live metrics through Locust's own `--otel`: what a receiver of OTLP gets is the run's records."""

import socket
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from bench.process import metronome
from common.ports import free_port
from common.usage import UsageError
from loadgen.live import instruments
from loadgen.live.histogram import Histogram
from loadgen.telemetry import otlp
from loadgen.telemetry.opentelemetry import OtelExport
from loadgen.telemetry.series import Observation
from tests.support.loadrun import LoadRun, load
from tests.support.otlp import receiver


class Told:
    """Stands for a run; says what it is told to."""

    def __init__(self) -> None:
        self.histogram = Histogram(instruments.OF_METRICS["ttft"].bounds)
        self.sent = 0

    def observations(self) -> list[Observation]:
        own: dict[str, str | int] = {"run": "r"}
        return [
            Observation(instruments.OF_METRICS["ttft"], own, self.histogram),
            Observation(instruments.SENT, own, self.sent),
        ]


def test_a_bucket_s_new_values_keep_its_count_and_the_sum() -> None:
    reader, told = InMemoryMetricReader(), Told()
    export = OtelExport(lambda: told, MeterProvider([reader]).get_meter("test"))  # type: ignore[arg-type,return-value]
    batches = [[0.003, 0.0011, 0.02], [], [0.0005, 0.02, 0.021, 12.0], [0.02]]
    try:
        for batch in batches:
            for value in batch:
                told.histogram.add(value)
                told.sent += 1
            export.record()
    finally:
        export.close()
    data = reader.get_metrics_data()
    assert data is not None
    metrics = {each.name: each for each in data.resource_metrics[0].scope_metrics[0].metrics}
    (point,) = metrics["gen_ai.server.time_to_first_token"].data.data_points
    assert tuple(point.explicit_bounds) == instruments.OF_METRICS["ttft"].bounds
    assert list(point.bucket_counts) == told.histogram.counts
    assert point.sum == pytest.approx(sum(map(sum, batches)))
    assert metrics["gen_ai.server.time_to_first_token"].unit == "s"
    (sent,) = metrics["tokenswarm.requests.sent"].data.data_points
    assert sent.value == 8


def test_a_run_arrives_whole_at_a_receiver(tmp_path: Path) -> None:
    bus = str(free_port())
    options = ["--otel", "--master-port", bus, "--master-bind-port", bus]
    with receiver() as found, metronome("--ttft", "0.05", "--tpot", "0.01", "--as-vllm") as server:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": found.url,
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        with LoadRun(tmp_path, server.url, *options, workers=2, environment=environment) as running:
            outcome = running.end()
    records = outcome.records
    assert len(records) > 60 and (records["status"] == "completed").all()
    (done,) = found.points("tokenswarm.requests", status="completed")
    assert done.as_int == len(records), "one writer, whatever the number of workers"
    (ttft,) = found.points("gen_ai.server.time_to_first_token", gen_ai__provider__name="vllm")
    assert ttft.count == len(records)
    waited = [(records["first_token"] - records[begin]).sum() for begin in ("sent", "due")]
    assert waited[0] - 1e-6 <= ttft.sum <= waited[1] + 1e-6, "sent, live, is between the two"
    assert tuple(ttft.explicit_bounds) == instruments.OF_METRICS["ttft"].bounds
    (tokens,) = found.points("gen_ai.client.token.usage", gen_ai__token__type="output")
    assert tokens.sum == pytest.approx(records["output_tokens"].sum()) and tokens.count == len(records)
    exported = [each for each in instruments.INSTRUMENTS if each not in instruments.OF_GPU]
    assert {each.name for each in exported} <= {name for name, _ in found.series}
    assert all(found.units[each.name] == each.unit for each in exported)
    (verdict,) = found.points("tokenswarm.verdict", verdict=outcome.summary["verdict"])
    assert verdict.as_double == 1
    assert found.points("locust.users.count"), "Locust's own metrics go there, too"
    assert not found.points("locust.client.duration"), "which a worker would export beside the master"


def test_a_receiver_that_never_answers_does_not_hold_up_the_run(tmp_path: Path) -> None:
    bus = str(free_port())
    options = ["--otel", "--duration", "3", "--master-port", bus, "--master-bind-port", bus]
    with socket.socket() as mute, metronome("--ttft", "0.02", "--tpot", "0.005") as server:
        mute.bind(("127.0.0.1", 0))
        mute.listen(64)
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{mute.getsockname()[1]}",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        }
        with LoadRun(tmp_path, server.url, *options, workers=1, environment=environment) as running:
            outcome = running.end()
    assert outcome.manifest["ended"] == "complete" and outcome.summary["verdict"] in outcome.out
    assert (outcome.records["status"] == "completed").all() and len(outcome.records) > 30
    assert "--otel: the last metrics" in outcome.err and "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "named",
    [
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": " gRPC "},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"},
    ],
)
def test_grpc_is_refused_by_the_variable_that_asks_for_it(named: dict[str, str]) -> None:
    name = next(key for key, value in named.items() if "grpc" in value.lower())
    with pytest.raises(UsageError, match=f"^--otel: {name}=grpc: over gRPC a slow collector"):
        otlp.choose_protocol(dict(named))


@pytest.mark.parametrize(
    ("named", "taken"),
    [
        ({}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": ""}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http"}, "http"),
        ({"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc", "OTEL_LOGS_EXPORTER": "none"}, "http/protobuf"),
    ],
)
def test_http_is_taken_where_nothing_is_named(named: dict[str, str], taken: str) -> None:
    otlp.choose_protocol(named)
    assert named["OTEL_EXPORTER_OTLP_PROTOCOL"] == taken


def test_grpc_ends_the_start_with_one_line(tmp_path: Path) -> None:
    environment = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    outcome = load(tmp_path, "http://127.0.0.1:9", "--otel", workers=1, environment=environment)
    assert outcome.code == 2
    assert outcome.err.startswith("tokenswarm: --otel: OTEL_EXPORTER_OTLP_PROTOCOL=grpc: ")
    assert outcome.err.count("\n") == 1

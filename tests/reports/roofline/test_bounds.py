"""The roofline's bounds: model and hardware from the launcher, measured work beside them."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from common import commandline
from reports.charts.figures import roofline_plot
from reports.document.roofline import Operation, Roofline
from reports.document.run import ServerSide
from reports.metrics.server_side import server_side
from reports.roofline import bounds, roofline
from reports.runs.runs import Run
from tests.support.make_report import make_pair


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return make_pair(tmp_path_factory.mktemp("runs"))


def described(runs: list[Run]) -> Roofline:
    return bounds.describe(runs, {run.name: server_side(run) for run in runs})


def test_model_and_hardware_come_from_the_launcher(runs: list[Run]) -> None:
    found = described(runs)
    assert found.missing is None
    assert (found.hardware, found.quantization) == ("T4", "awq 4 bit")
    assert found.ridge == pytest.approx(203.1, abs=0.1)
    assert [place.variant for place in found.operations] == ["baseline", "optimized"]
    assert {each.hardware for each in found.what_if} >= {"T4", "L4", "A10G", "H100", "H200"}
    assert [each.measured_here for each in found.what_if].count(True) == 1


def test_mean_lengths_weigh_tokens(runs: list[Run]) -> None:
    prompt, context = bounds.lengths(runs[0])
    assert prompt == 50  # every prompt has 50 tokens and every output 40
    assert context == pytest.approx(50 + 20)


def test_flags_of_the_command_count() -> None:
    command = ["vllm", "--max-num-seqs", "8", "--dtype=half", "--max_num_seqs=16", "--enforce-eager"]
    assert commandline.batch_limit(command) == 16
    assert commandline.flag(command, "--dtype") == "half"
    assert commandline.flag(command, "--port") is None
    assert commandline.flag(command, "--enforce-eager") is None
    assert commandline.batch_limit(command[:4]) == 8 and commandline.batch_limit(command[3:4]) is None


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["-tp", "2"], "several GPUs"),
        (["--pipeline_parallel_size=2"], "several GPUs"),
        (["--speculative-config", "{}"], "several tokens"),
    ],
)
def test_what_the_formulas_do_not_cover_is_named(runs: list[Run], flags: list[str], why: str) -> None:
    """A measurement that they would call impossible is none of theirs."""
    server = dict(runs[0].manifest.server or {})
    server["command"] = [*server["command"], *flags]
    with pytest.raises(roofline.UnknownModelError, match=why):
        bounds.served_model(launched(runs[0], server))


def test_weights_are_as_wide_as_vllm_serves_them(runs: list[Run]) -> None:
    server = dict(runs[0].manifest.server or {})
    config = {key: value for key, value in server["model_config"].items() if key != "quantization_config"}

    def width(dtype: str, *flags: str) -> float:
        told = {"model_config": config | {"torch_dtype": dtype}, "command": ["vllm", *flags]}
        return bounds.served_model(launched(runs[0], server | told)).dtype_bytes

    assert width("float32") == width("float32", "--dtype", "auto") == width("bfloat16") == 2
    assert width("float32", "--dtype", "float32") == width("bfloat16", "--dtype=float") == 4
    with pytest.raises(roofline.UnknownModelError, match="how wide --quantization fp8"):
        width("bfloat16", "-q", "fp8")


def launched(run: Run, server: dict[str, Any]) -> Run:
    """The run as of another server.json."""
    manifest = run.manifest.model_copy(update={"server": server})
    return dataclasses.replace(run, manifest=manifest, memo={})


def test_measured_work_is_put_beside_the_bound(runs: list[Run]) -> None:
    run = runs[0]
    seconds = run.manifest.drained_at - run.window[0]
    side = ServerSide.model_validate(
        {"running_mean": 8.0, "flops": 4e12 * seconds, "read_bytes": 1.9e11 * seconds}
        | {"write_bytes": 1e10 * seconds, "flops_per_byte": 20.0}
    )
    place: Operation = bounds.describe([run], {run.name: side}).operations[0]
    assert place.bytes_per_s == pytest.approx(2e11)
    assert place.share_of_attainable == pytest.approx(4e12 / (20 * 320e9))
    assert place.bounds is not None and place.bounds.batch == 8


@pytest.mark.parametrize(
    ("peak", "unit", "top"), [(332e9, "GFLOP/s (log)", 332.0), (989.5e12, "TFLOP/s (log)", 989.5)]
)
def test_the_figures_axis_is_in_units_of_the_roof(
    runs: list[Run], peak: float, unit: str, top: float
) -> None:
    found = described(runs)
    assert found.peak_bytes_per_s
    found = found.model_copy(update={"peak_flops": peak, "ridge": peak / found.peak_bytes_per_s})
    [panel] = roofline_plot(found, ["baseline", "optimized"]).panels
    assert panel.y_label == unit and max(panel.series[0].y) == pytest.approx(top)
    assert panel.y_range is not None and panel.y_range[1] == pytest.approx(3 * top)


@pytest.mark.parametrize(
    ("server", "word"),
    [
        (None, "launcher"),
        ({"model_config": None}, "config.json"),
        ({"model_config": {"model_type": "mixtral"}}, "mixtral"),
        ({"hardware": {"name": "a toaster"}}, "a toaster"),
        ({"command": ["vllm", "--tensor-parallel-size", "2"]}, "several GPUs"),
    ],
)
def test_a_missing_roofline_says_why(tmp_path: Path, server: dict[str, object] | None, word: str) -> None:
    run = make_pair(tmp_path)[0]
    given = None if server is None else {**(run.manifest.server or {}), **server}
    object.__setattr__(run.manifest, "server", given)
    found = bounds.describe([run], {run.name: server_side(run)})
    assert found.missing is not None and word in found.missing


def test_a_run_on_what_is_not_known_is_not_placed_under_another_s_roof(tmp_path: Path) -> None:
    runs = make_pair(tmp_path)
    object.__setattr__(runs[1].manifest, "server", None)
    found = bounds.describe(runs, {run.name: server_side(run) for run in runs})
    assert [place.variant for place in found.operations] == ["baseline"]

"""The hardware's peaks: hardware.yaml, the CPU's measurement and its cache, and what server.json says."""

import json
from pathlib import Path

import pytest

from common.usage import UsageError
from server import deployment, model, peaks, runfolder
from server.targets import Target, names, read_target

# nvidia-smi's names, as the drivers give them.
GPUS = {
    "Tesla T4": "T4",
    "NVIDIA L4": "L4",
    "NVIDIA A10G": "A10G",
    "NVIDIA A100-SXM4-40GB": "A100-40GB",
    "NVIDIA A100-PCIE-40GB": "A100-40GB",
    "NVIDIA A100-SXM4-80GB": "A100-80GB",
    "NVIDIA A100 80GB PCIe": "A100-80GB",
    "NVIDIA H100 80GB HBM3": "H100",
    "NVIDIA H200": "H200",
    "NVIDIA L40S": None,
    "NVIDIA A10": None,
    "NVIDIA H100 PCIe": None,  # another clock and memory than the SXM card
    "Tesla T40": None,
}
FOUND = {
    "peak_flops": 2e11,
    "peak_bytes_per_s": 4e10,
    "threads": 2,
    "bandwidth_kernel": "triad",
    "matrix_size": 1024,
    "torch": "2",
    "decode_tokens_per_s": 21_500.0,
}


def target(hardware: str, kind: str = "cpu", model: str = "m") -> Target:
    given = {"purpose": "p", "kind": kind, "model": model, "flags": [], "hardware": hardware}
    return Target.model_validate({**given, "dtype": "float32", "start_within_s": 9})


def counting_python(folder: Path, says: str, code: int = 0) -> Path:
    """A program that adds a line to `calls` and says something, in place of the server's python."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\necho \"$@\" >> {folder / 'calls'}\necho '{says}'\nexit {code}\n")
    python.chmod(0o755)
    return python


@pytest.fixture(autouse=True)
def _places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(("gpu", "entry"), GPUS.items())
def test_a_gpu_is_found_by_its_name(gpu: str, entry: str | None) -> None:
    assert peaks.match(gpu, peaks.accelerators()) == entry


def test_each_entry_says_where_it_comes_from() -> None:
    known = peaks.accelerators()
    assert {"T4", "L4", "A10G", "A100-40GB", "A100-80GB", "H100", "H200"} <= set(known)
    assert all("datasheet" in entry.source for entry in known.values())
    t4 = known["T4"]
    assert t4.peak_flops / t4.peak_bytes_per_s == pytest.approx(203, abs=0.5)


def test_a_listed_gpu_needs_no_measuring(tmp_path: Path) -> None:
    found = peaks.hardware_of(target("T4", "gpu"), tmp_path / "no-python")
    assert (found["name"], found["kind"], found["peak_flops"], found["peak_bytes_per_s"]) == (
        *("T4", "gpu"),
        *(65e12, 320e9),
    )
    with pytest.raises(UsageError, match="hardware 'T5' is not in hardware.yaml; it has T4, L4"):
        peaks.hardware_of(target("T5", "gpu"), tmp_path / "no-python")


def test_an_unlisted_gpu_has_no_peaks_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "gpu_name", lambda: "NVIDIA L40S")
    found = peaks.hardware_of(target("detect", "gpu"), tmp_path)
    assert (found["name"], found["peak_flops"], found["memory_bytes"]) == ("NVIDIA L40S", None, None)
    assert found["source"] == "peaks of 'NVIDIA L40S' are not in server/hardware.yaml; add them there"
    monkeypatch.setattr(peaks, "gpu_name", lambda: "Tesla T4")
    assert peaks.hardware_of(target("detect", "gpu"), tmp_path)["peak_flops"] == 65e12


def test_a_cpu_is_measured_once(tmp_path: Path) -> None:
    python = counting_python(tmp_path, json.dumps(FOUND))
    first = peaks.hardware_of(target("measure"), python)
    assert peaks.hardware_of(target("measure"), python) == first
    assert (tmp_path / "calls").read_text() == f"{peaks.KERNEL} float32\n"
    assert (first["kind"], first["peak_flops"], first["peak_bytes_per_s"]) == ("cpu", 2e11, 4e10)
    assert "cores" in first["name"]
    assert "measured on this machine at 20" in first["source"]
    assert "triad over memory, float32 matrices of 1024" in first["source"]


def test_a_measurement_that_an_earlier_version_kept_is_made_anew(tmp_path: Path) -> None:
    old = {name: value for name, value in FOUND.items() if name != "decode_tokens_per_s"}
    peaks.hardware_of(target("measure"), counting_python(tmp_path, json.dumps(FOUND)))
    kept = tmp_path / "cache" / "peaks.json"
    [key] = json.loads(kept.read_text())
    kept.write_text(json.dumps({key: old, "another machine": old}))
    assert peaks.known_pace(target("measure")) is None
    assert peaks.pace(target("measure"), tmp_path / "python") == 21_500
    assert peaks.known_pace(target("measure")) == 21_500
    assert json.loads(kept.read_text())["another machine"] == old


@pytest.mark.parametrize(("pace", "layers"), [(21_500, 12), (13_000, 4), (45_000, 36)])
def test_the_shape_that_is_served_fits_the_machine(tmp_path: Path, pace: float, layers: int) -> None:
    python = counting_python(tmp_path, json.dumps(FOUND | {"decode_tokens_per_s": pace}))
    before = deployment.read_deployment("baseline", "cpu-tiny", 8000)
    assert before.command().model.endswith(model.folder().name), "not measured yet: the standard one"
    fitted = before.fitted(python)
    assert fitted.fit is not None and fitted.fit.layers == layers
    assert fitted.command().model.endswith(model.folder(layers).name)
    assert before.command().model == fitted.command().model, "a dry run tells what would be served"
    assert f"{layers} layers, since this machine decodes {pace:,} tokens/s" in fitted.fit.text


def test_another_target_is_not_fitted(tmp_path: Path) -> None:
    given = deployment.read_deployment("baseline", "t4-llama2-7b-awq", 8000)
    assert given.fitted(tmp_path / "no-python") == given


def test_another_dtype_is_measured_for_itself_and_a_broken_file_anew(tmp_path: Path) -> None:
    python = counting_python(tmp_path, json.dumps(FOUND))
    peaks.hardware_of(target("measure"), python)
    peaks.hardware_of(target("measure").model_copy(update={"dtype": "bfloat16"}), python)
    kept = tmp_path / "cache" / "peaks.json"
    assert len(json.loads(kept.read_text())) == 2
    kept.write_text("{cut o")
    peaks.hardware_of(target("measure"), python)
    assert len((tmp_path / "calls").read_text().splitlines()) == 3
    assert kept.with_suffix(".bad").read_text() == "{cut o", "other machines' peaks may be in it"


def test_a_measurement_that_fails_is_one_line_and_not_kept(tmp_path: Path) -> None:
    python = counting_python(tmp_path, "", code=1)
    with pytest.raises(UsageError, match="this CPU's peaks cannot be measured: no output"):
        peaks.hardware_of(target("measure"), python)
    assert not (tmp_path / "cache" / "peaks.json").exists()


@pytest.mark.parametrize("name", names())
def test_the_targets_name_hardware_that_is_known(name: str) -> None:
    found = read_target(name)
    assert found.hardware in {*peaks.accelerators(), peaks.MEASURE, peaks.DETECT}
    assert (found.hardware == peaks.MEASURE) == (found.kind == "cpu")


def test_run_folders_of_the_same_second_are_two(tmp_path: Path) -> None:
    made = [runfolder.make("a/b c") for _ in range(3)]
    assert len(set(made)) == 3
    assert all(path.is_dir() and path.parent == tmp_path / "results" for path in made)
    assert made[0].name.endswith("Z-a-b-c")


def test_a_results_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TOKENSWARM_RESULTS", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="baseline: the folder cannot be made: "):
        runfolder.make("baseline")


def deployment_of(model: str) -> deployment.Deployment:
    variant = deployment.read_variant("baseline")
    return deployment.Deployment("baseline", "t", variant, target("T4", "gpu", model), 8000)


def test_a_cache_that_cannot_be_written_is_named_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="file: nothing can be written there: File exists"):
        peaks.hardware_of(target("measure"), Path("no-python"))


def test_the_models_configuration_is_found_in_its_folder_or_the_hubs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert deployment_of(str(tmp_path)).model_config() == {"a": 1}
    snapshot = tmp_path / "hub" / "models--some--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"b": 2}')
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc\n")
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert deployment_of("some/model").model_config() == {"b": 2}
    assert deployment_of("some/other").model_config() is None

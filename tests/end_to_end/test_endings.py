"""However a run ends, every arrival has one record, and nothing is left running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.process import Child, metronome
from common.places import ROOT
from common.ports import free_port
from tests.support.loadrun import SHORT, LoadRun, Outcome, left_running, load
from tests.support.prometheus import samples, scrape, total
from tests.support.waiting import PATIENCE, wait_until

SLOW = SHORT.replace("duration: 5", "duration: 20").replace("output_tokens: 10", "output_tokens: 200")
FEW_TOKENS = SLOW.replace("200", "20")
GIVEN = {"TOKENSWARM_TOKEN": "t" * 64}  # else a worker waits for the master's file for some seconds only


def joining(port: str) -> "subprocess.Popen[bytes]":
    """A worker that tries to join a master until it is there."""
    words = [sys.executable, "-m", "locust", "-f", "locustfiles/chat.py", "--worker", "--master-port", port]
    return subprocess.Popen(words, cwd=ROOT, env=os.environ | GIVEN, stderr=subprocess.DEVNULL)


def tokens_of(server: Child) -> float:
    """How many tokens the metronome has sent."""
    return total(samples(scrape(f"{server.url}/metrics")), "vllm:generation_tokens_total")


def reconciles(found: Outcome) -> None:
    """Due = completed + failed + unfinished + lost, in manifest, records and summary."""
    counts, all_ = found.counts(), found.summary["accounting_all"]
    assert found.manifest["due"] == len(found.records) == sum(counts.values()) == all_["due"]
    assert {name: all_[name] for name in counts} == counts
    assert found.records["arrival"].is_unique


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGINT, None), (signal.SIGINT, 2), (signal.SIGTERM, 2), (signal.SIGHUP, None)],
)
def test_one_signal_drains_and_keeps_the_run(number: int, workers: int | None, tmp_path: Path) -> None:
    with (
        metronome("--ttft", "0.05", "--tpot", "0.1") as server,
        LoadRun(tmp_path, server.url, workers=workers, scenario=FEW_TOKENS) as running,
    ):
        running.wait_for_records(10, workers or 1)
        running.signal(number)
        found = running.end()
        assert not left_running(running.process.pid)
    assert found.code == 130 and found.manifest["ended"] == "interrupted"
    assert found.counts().keys() == {"completed"}, "what was in flight was waited for"
    manifest, metrics = found.manifest, found.summary["metrics"]
    launched = manifest["schedule_end"] - manifest["window"]["start"]
    assert 0 < launched < manifest["window"]["end"] - manifest["window"]["start"]
    due = found.summary["accounting"]["due"]
    assert metrics["offered_rate"]["value"] == pytest.approx(due / launched), "over the time that it ran"
    reconciles(found)


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    patient = SLOW.replace("drain: 10", "drain: 60")
    with (
        metronome("--ttft", "0.05", "--tpot", "0.2") as server,
        LoadRun(tmp_path, server.url, workers=2, scenario=patient) as running,
    ):
        running.wait_until(lambda: tokens_of(server) > 20, "no tokens")
        running.signal(signal.SIGINT)
        running.wait_for("draining; once more ends it at once")
        running.signal(signal.SIGINT)
        found = running.end()
        assert not left_running(running.process.pid)
    assert found.manifest["drained_at"] < found.manifest["schedule_end"] + found.manifest["drain_limit"] - 10
    assert found.counts().keys() == {"unfinished"}
    assert (found.records["chunk_times"].map(len) > 0).any(), "what had come is kept"
    reconciles(found)


SLOW_TO_PREPARE = """
import gevent
from loadgen.user import OpenLoopUser

class Slow(OpenLoopUser):
    def body(self, arrival, history):
        gevent.sleep(0.2)
        return {"messages": self.prompts.messages(arrival, history), "max_tokens": arrival.output_tokens}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_prompts_are_made_ends_it_at_once(number: int, tmp_path: Path) -> None:
    locustfile = tmp_path / "slow.py"
    locustfile.write_text(SLOW_TO_PREPARE)
    with (
        metronome() as server,
        LoadRun(tmp_path, server.url, workers=2, scenario=SLOW, locustfile=str(locustfile)) as running,
    ):
        running.wait_for("run folder")
        running.signal(number)
        assert running.end().code == 130 and not left_running(running.process.pid)
    assert "before the first request; nothing was measured" in running.err
    assert "Traceback" not in running.err and not running.folder.exists()


def test_a_signal_after_the_end_does_not_cost_the_verdict(tmp_path: Path) -> None:
    with (
        metronome("--ttft", "0.01", "--tpot", "0.001") as server,
        LoadRun(tmp_path, server.url, "--duration", "1", workers=1) as running,
    ):
        running.wait_until((running.folder / "manifest.json").exists, "no manifest")
        for _ in range(4):  # while it is judged, and while Locust ends
            running.signal(signal.SIGINT)
            time.sleep(0.5)
        found = running.end()
        assert not left_running(running.process.pid)
    assert "Traceback" not in found.err
    assert found.manifest["ended"] == "complete" and found.summary["verdict"] in found.out
    reconciles(found)


@pytest.mark.parametrize("drain", ["0", "2"])
def test_the_drain_is_bounded(drain: str, tmp_path: Path) -> None:
    with metronome("--ttft", "0.05", "--tpot", "0.2") as server:
        found = load(tmp_path, server.url, "--drain", drain, "--duration", "3", scenario=SLOW, workers=None)
    assert found.counts().keys() == {"unfinished"} and found.manifest["ended"] == "complete"
    assert float(drain) <= found.manifest["drained_at"] - 3 < 30, "an answer takes 40 s"
    reconciles(found)


def test_a_server_that_dies_fails_the_rest(tmp_path: Path) -> None:
    with (
        metronome("--ttft", "0.05", "--tpot", "0.1") as server,
        LoadRun(tmp_path, server.url, "--duration", "12", scenario=FEW_TOKENS, workers=None) as running,
    ):
        running.wait_for_records(5)
        server.process.kill()
        found = running.end()
    assert set(found.counts()) <= {"completed", "failed"} and found.counts()["failed"] > 20
    errors = set(found.records["error"].dropna())
    assert any("refused" in error for error in errors), errors
    assert found.code == 5 and found.manifest["ended"] == "complete"
    reconciles(found)


def test_a_killed_worker_costs_its_lanes_later_arrivals(tmp_path: Path) -> None:
    scenario = SLOW.replace("duration: 20", "duration: 10").replace("200", "10")
    with (
        metronome("--ttft", "0.05", "--tpot", "0.01") as server,
        LoadRun(tmp_path, server.url, workers=2, scenario=scenario) as running,
    ):
        known = running.wait_for_records(40, 2)
        worker = _children(running.process.pid)[0]
        os.kill(worker, signal.SIGKILL)
        found = running.end()
    records, lost_lanes = found.records, [lane for lane in found.manifest["lanes"] if lane["lost"]]
    assert len(lost_lanes) == 1 and "is lost" in found.err and found.code == 5
    lane = records[records["lane"] == lost_lanes[0]["lane"]]
    lost = lane[lane["status"] == "lost"]
    assert len(lost) > 5 and not known & set(lost["arrival"]), "what the master had is there"
    other = records[records["lane"] != lost_lanes[0]["lane"]]
    assert other["status"].eq("completed").all()
    reconciles(found)


def test_a_run_that_loses_every_worker_is_no_complete_one(tmp_path: Path) -> None:
    with (
        metronome("--ttft", "0.05", "--tpot", "0.01") as server,
        LoadRun(tmp_path, server.url, workers=2, scenario=SLOW.replace("200", "10")) as running,
    ):
        running.wait_for_records(20, 2)
        for worker in _children(running.process.pid):
            os.kill(worker, signal.SIGKILL)
        found = running.end()
    assert (found.code, found.summary["verdict"]) == (5, "INVALID"), found.err
    manifest = found.manifest
    assert (manifest["ended"], manifest["ended_why"]) == ("interrupted", "every worker was lost")
    reconciles(found)


def test_a_dead_master_leaves_a_run_to_recover(tmp_path: Path) -> None:
    with (
        metronome("--ttft", "0.05", "--tpot", "0.01") as server,
        LoadRun(tmp_path, server.url, workers=2, scenario=SLOW.replace("200", "10")) as running,
    ):
        known = running.wait_for_records(40, 2)
        group = running.process.pid
        os.kill(group, signal.SIGKILL)
        running.process.wait()
        wait_until(lambda: not left_running(group), "workers end by themselves")
    command = [sys.executable, "-m", "tokenswarm", "recover", str(running.folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    found = Outcome(0, said.stdout, said.stderr, running.folder)
    records = found.records
    assert records["arrival"].is_unique
    assert known <= set(records.loc[records["status"] == "completed", "arrival"])
    assert found.manifest["ended"] == "interrupted" and len(records) == found.manifest["due"]
    lanes = found.manifest["lanes"]
    assert all(lane["lost"] and lane["worker"] and lane["clock_rtt_s"] > 0 for lane in lanes)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "whole run already" in again.stderr


def test_a_worker_that_is_told_to_stop_hands_over_and_the_rest_of_its_lane_is_lost(tmp_path: Path) -> None:
    """As a container does whose host is emptied: the run has half its load from then on, and says so."""
    port = str(free_port())
    options = ("--master", "--expect-workers", "2", "--master-bind-port", port, "--duration", "9")
    with (
        metronome("--ttft", "0.05", "--tpot", "0.01") as server,
        joining(port) as one,
        joining(port) as other,
        LoadRun(tmp_path, server.url, *options, workers=None, environment=GIVEN) as running,
    ):
        try:
            running.wait_for_records(20, 2)
            one.send_signal(signal.SIGTERM)
            assert one.wait(PATIENCE) is not None
            stopped = running.end()
            assert other.wait(PATIENCE) == 0, "it ends with the master"
        finally:
            one.kill()
            other.kill()
    lanes = {lane["lost"]: lane for lane in stopped.manifest["lanes"]}
    assert lanes.keys() == {True, False} and stopped.code == 5 and "is lost" in stopped.err
    lane = stopped.records[stopped.records["lane"] == lanes[True]["lane"]]
    kept, lost = lane[lane["status"] != "lost"], lane[lane["status"] == "lost"]
    assert len(kept) > 3 and len(lost) > 5 and kept["due"].max() < lost["due"].min()
    assert stopped.manifest["due"] == stopped.manifest["scheduled"]
    assert lanes[True]["batches_sent"] == lanes[True]["batches_received"], "nothing it had is lost"
    reconciles(stopped)


def test_workers_that_do_not_come_are_waited_for_a_bounded_time(tmp_path: Path) -> None:
    port = str(free_port())
    options = ["--master", "--expect-workers", "2", "--master-bind-port", port]
    options += ["--expect-workers-max-wait", "6"]
    with (
        metronome() as server,
        joining(port) as came,  # before the master, which then finds it waiting
        LoadRun(tmp_path, server.url, *options, workers=None, environment=GIVEN) as running,
    ):
        try:
            assert running.end().code == 2
            assert came.wait(PATIENCE) == 0, "it ends with the master"
        finally:
            came.kill()
    assert f"waiting up to 6 s for 2 workers to join at port {port}" in running.err
    assert "tokenswarm: 2 workers were announced, 1 joined within 6 s" in running.err
    assert "Traceback" not in running.err and not running.folder.exists()


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


@pytest.mark.skipif(os.geteuid() != 0, reason="making a small disk needs root")
def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    disk, results = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    results.mkdir()
    mount(disk, "200k")
    try:
        folder = disk / "run"
        place = {"TOKENSWARM_RUN_DIR": str(folder), "TOKENSWARM_RESULTS": str(results)}
        with metronome("--ttft", "0.02", "--tpot", "0.002") as server:
            found = load(tmp_path / "load", server.url, scenario=SLOW, environment=place)
            count = len(server.stop().read)
        assert found.code == 2 and "cannot be written: No space left on device" in found.err
        assert "Traceback" not in found.err
        mount(disk, "20m", "remount,")
        left = [str(folder), *map(str, results.glob("*")), *kept_elsewhere(found.err)]
        command = [sys.executable, "-m", "tokenswarm", "recover", *dict.fromkeys(left)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr + found.err
        records = Outcome(0, "", "", folder).records
        assert len(records) == count and records["status"].eq("completed").all()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="making a small disk needs root")
def test_a_disk_that_is_full_already_is_said_before_the_run(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount(disk, "64k")
    try:
        (disk / "others").write_bytes(bytes(65536))
        place = {"TOKENSWARM_RUN_DIR": str(disk / "run")}
        with metronome() as server:
            found = load(tmp_path / "load", server.url, environment=place)
        assert found.code == 2 and "Traceback" not in found.err
        assert f"tokenswarm: {disk / 'run'}: cannot be written: No space left on device" in found.err
        assert [path.name for path in disk.rglob("*")] == ["others"]
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def mount(place: Path, size: str, option: str = "") -> None:
    """A disk in memory, so large and no larger."""
    command = ["mount", "-t", "tmpfs", "-o", f"{option}size={size}", "tmpfs", str(place)]
    subprocess.run(command, check=True)


def kept_elsewhere(said: str) -> list[str]:
    """The folders in which workers say that they kept batches."""
    return [
        line.partition("batches kept in ")[2].split(";")[0] for line in said.splitlines() if "kept in" in line
    ]

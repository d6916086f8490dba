"""A master and four workers on hosts of their own, one behind a slow link, beside the single process."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bench.hosts import Hosts, Link, reason_against
from bench.process import metronome
from bench.truth import Truth
from common.places import ROOT
from loadgen.records.collect import BATCHES, known_arrivals, recover
from tests.support.loadrun import SHORT, LoadRun, load
from tests.support.waiting import PATIENCE

WORKERS = ("w1", "w2", "w3", "w4")
METRONOME = ("tokenswarm", "bench", "metronome")
DELAY = 0.02  # s, on w4's link

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    reason = reason_against()
    if reason and os.environ.get("TOKENSWARM_REQUIRE_ALL"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def test_five_hosts_make_the_load_of_one_process(tmp_path: Path) -> None:
    with metronome("--ttft", "0.1", "--tpot", "0.01") as server:
        alone = load(tmp_path / "alone", server.url, workers=None)
        words = sorted(server.stop().words)
    with Hosts(["server", "master", *WORKERS], {"w4": Link(DELAY)}) as hosts, contextlib.ExitStack() as stack:
        log = tmp_path / "truth.npz"
        timetable = ["--ttft", "0.1", "--tpot", "0.01", "--host", hosts.address("server"), "--port", "9000"]
        truth = start(hosts, "server", "-m", *METRONOME, *timetable, "--log", str(log), stack=stack)
        for name in WORKERS:
            worker = ["-f", "locustfiles/chat.py", "--worker", "--master-host", hosts.address("master")]
            start(hosts, name, "-m", "locust", *worker, stack=stack)
        url = f"http://{hosts.address('server')}:9000"
        await_answer(hosts, url)
        options = ("--master", "--expect-workers", "4")
        with LoadRun(tmp_path, url, *options, workers=None, prefix=hosts.prefix("master")) as running:
            spread = running.end()
        truth.send_signal(signal.SIGTERM)
        truth.wait(PATIENCE)
    assert spread.counts() == alone.counts() == {"completed": len(alone.records)}
    columns = ["arrival", "due", "workload", "prompt_asked", "output_asked", "prompt_tokens", "output_tokens"]
    one, many = (found.records.sort_values("arrival").reset_index(drop=True) for found in (alone, spread))
    pd.testing.assert_frame_equal(one[columns], many[columns])
    assert sorted(Truth.load(log).words) == words, "the same prompts, to the byte"
    assert (many["lane"] == many["arrival"] % 4).all()
    trips = {lane["clock_rtt_s"]: lane["lane"] for lane in spread.manifest["lanes"]}
    assert max(trips) > 1.9 * DELAY, "one lane is behind the slow link, and the manifest shows it"
    # The least of each, since a busy machine adds to all others.
    waited = (many["first_token"] - many["sent"]).groupby(many["lane"] == trips[max(trips)]).min()
    # Two of its packets are held back on a new connection (the first and the request), one on a kept one.
    assert DELAY * 0.9 < waited[True] - waited[False] < DELAY * 2.5
    sent_late = (many["sent"] - many["due"]).groupby(many["lane"]).min()
    assert np.all(np.abs(sent_late) < 0.05), "the lanes started together"


def test_a_run_is_recovered_from_what_the_workers_kept_on_their_own_hosts(tmp_path: Path) -> None:
    """A worker dies, then the master, with their hosts; the others cannot reach the master's disk."""
    home, disks = tmp_path / "master", {name: tmp_path / name for name in WORKERS}
    home.mkdir()
    scenario = SHORT.replace("duration: 5", "duration: 60")
    with Hosts(["server", "master", *WORKERS], {"w4": Link(DELAY)}) as hosts, contextlib.ExitStack() as stack:
        timetable = ["--ttft", "0.1", "--tpot", "0.01", "--host", hosts.address("server"), "--port", "9000"]
        start(hosts, "server", "-m", *METRONOME, *timetable, stack=stack)
        joining = ["-m", "locust", "-f", "locustfiles/chat.py", "--worker"]
        joining += ["--master-host", hosts.address("master")]
        workers = {
            name: start(hosts, name, *joining, stack=stack, hidden=home, results=disks[name])
            for name in WORKERS
        }
        url, options = f"http://{hosts.address('server')}:9000", ("--master", "--expect-workers", "4")
        prefix = hosts.prefix("master")
        await_answer(hosts, url)
        with LoadRun(home, url, *options, workers=None, scenario=scenario, prefix=prefix) as running:
            early = running.wait_for_records(20, 4)
            workers["w1"].kill()
            running.wait_for_records(len(early) + 20, 4)
            running.process.kill()
            running.process.wait()
            for name in WORKERS[1:]:
                workers[name].wait(PATIENCE)  # they end by themselves
    copies = [next(disks[name].iterdir()) for name in WORKERS[1:]]
    assert all(list((copy / BATCHES).glob("*.arrow")) for copy in copies)
    shared = len(known_arrivals(running.folder))
    records = pq.read_table(recover([*copies, running.folder]) / "requests.parquet").to_pandas()
    assert records["arrival"].is_unique and (records["status"] != "lost").sum() > shared
    dead = lane_of(records)
    for lane, found in records.groupby("lane"):
        kept, lost = found[found["status"] != "lost"], found[found["status"] == "lost"]
        assert len(kept) and kept["status"].eq("completed").all()
        if lane == dead:
            assert not early & set(lost["arrival"]), "what the master had when it died is there"
            assert len(lost) > 20
        else:
            assert kept["due"].max() > 15, "they went on until they missed the master, each by its own clock"
            assert not (lost["due"] < kept["due"].max()).any()
    assert sorted(records["arrival"]) == list(range(len(records))), "none is missing"


def lane_of(records: pd.DataFrame) -> int:
    """The lane that lost the most."""
    return int(records.loc[records["status"] == "lost", "lane"].mode()[0])


AWAIT = """
import sys, time, urllib.request
while True:
    try:
        urllib.request.urlopen(sys.argv[1] + "/health", timeout=5)
        break
    except OSError:
        time.sleep(0.1)
"""


def await_answer(hosts: Hosts, url: str) -> None:
    """Until the server answers the master's host."""
    subprocess.run([*hosts.prefix("master"), sys.executable, "-c", AWAIT, url], timeout=PATIENCE, check=True)


def start(
    hosts: Hosts,
    name: str,
    *words: str,
    stack: contextlib.ExitStack,
    hidden: Path | None = None,
    results: Path | None = None,
) -> "subprocess.Popen[bytes]":
    """A Python program on a host; it is gone when the stack ends. hidden: a folder of another host's disk."""
    quiet = subprocess.DEVNULL
    command = [sys.executable, *words]
    if hidden is not None:  # in the mount namespace that `ip netns exec` gives it
        command = ["sh", "-c", f'mount -t tmpfs tmpfs "{hidden}" && exec "$@"', "sh", *command]
    process = subprocess.Popen(
        [*hosts.prefix(name), *command],
        cwd=ROOT,
        env=os.environ | ({"TOKENSWARM_RESULTS": str(results)} if results else {}),
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
    )

    def end() -> None:
        if process.poll() is None:
            process.kill()
        process.wait()

    stack.callback(end)
    return process

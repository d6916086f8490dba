"""A master and four workers on hosts of their own, one behind a slow link, beside the single process."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.process import metronome
from bench.truth import Truth
from tests.hosts import Hosts, reason_against
from tests.loadrun import ROOT, LoadRun, load

WORKERS = ("w1", "w2", "w3", "w4")
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
    with Hosts(["server", "master", *WORKERS], {"w4": DELAY}) as hosts, contextlib.ExitStack() as stack:
        log = tmp_path / "truth.npz"
        timetable = ["--ttft", "0.1", "--tpot", "0.01", "--host", hosts.address("server"), "--port", "9000"]
        truth = start(hosts, "server", "-m", "bench.metronome", *timetable, "--log", str(log), stack=stack)
        for name in WORKERS:
            worker = ["-f", "locustfiles/chat.py", "--worker", "--master-host", hosts.address("master")]
            start(hosts, name, "-m", "locust", *worker, stack=stack)
        url = f"http://{hosts.address('server')}:9000"
        options = ("--master", "--expect-workers", "4")
        with LoadRun(tmp_path, url, *options, workers=None, prefix=hosts.prefix("master")) as running:
            spread = running.end()
        truth.send_signal(signal.SIGTERM)
        truth.wait(20)
    assert spread.counts() == alone.counts() == {"completed": len(alone.records)}
    columns = ["arrival", "due", "workload", "prompt_asked", "output_asked", "prompt_tokens", "output_tokens"]
    one, many = (found.records.sort_values("arrival").reset_index(drop=True) for found in (alone, spread))
    pd.testing.assert_frame_equal(one[columns], many[columns])
    assert sorted(Truth.load(log).words) == words, "the same prompts, to the byte"
    assert (many["lane"] == many["arrival"] % 4).all()
    slow = [lane["lane"] for lane in spread.manifest["lanes"] if lane["clock_rtt_s"] > DELAY]
    assert len(slow) == 1, "one lane is behind the slow link, and the manifest shows it"
    waited = (many["first_token"] - many["sent"]).groupby(many["lane"] == slow[0]).median()
    # Two of its packets are held back on a new connection (the first and the request), one on a kept one.
    assert DELAY * 0.9 < waited[True] - waited[False] < DELAY * 2.5
    sent_late = (many["sent"] - many["due"]).groupby(many["lane"]).median()
    assert np.all(np.abs(sent_late) < 0.05), "the lanes started together"


def start(hosts: Hosts, name: str, *words: str, stack: contextlib.ExitStack) -> "subprocess.Popen[bytes]":
    """A Python program on a host; it is gone when the stack ends."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [*hosts.prefix(name), sys.executable, *words], cwd=ROOT, stdin=quiet, stdout=quiet, stderr=quiet
    )

    def end() -> None:
        if process.poll() is None:
            process.kill()
        process.wait()

    stack.callback(end)
    return process

"""Open files and priority."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.places import ROOT
from common.usage import UsageError
from loadgen.host import process_limits
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule


@given(due=st.lists(st.floats(0, 100), max_size=60), span=st.floats(0.1, 20))
def test_the_busiest_span_is_found(due: list[float], span: float) -> None:
    due.sort()
    brute = max((sum(start <= each < start + span for each in due) for start in due), default=0)
    assert abs(process_limits.busiest(np.array(due), span) - brute) <= sum(
        math.isclose(late - early, span) for early in due for late in due
    )


def test_too_few_open_files_are_said_before_the_run() -> None:
    due = schedule(Scenario.load("chat-high"), 1).arrivals.numbers("due")
    process_limits.check(10_000, due)
    with pytest.raises(UsageError, match="open files are limited to 256, this load needs"):
        process_limits.check(256, due)


def test_a_worker_takes_what_priority_it_may_and_gives_it_back() -> None:
    code = (
        "import os; from loadgen.host.process_limits import Urgency; found = Urgency(True); "
        "print(found.gained, os.sched_getscheduler(0) & 7 == os.SCHED_FIFO, os.getpriority(0, 0)); "
        "found.end(); print(os.sched_getscheduler(0), os.getpriority(0, 0), Urgency(False).gained)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    first, then = said.stdout.splitlines()
    assert first in ("fifo True 0", "nice False -10", "none False 0"), first
    assert then == "0 0 none"

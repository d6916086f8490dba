"""Workers of --processes end with the master."""

import signal
import subprocess
import sys

from common.places import ROOT


def test_a_worker_that_is_stopped_does_not_outlive_the_master() -> None:
    script = """
import os, signal, subprocess
from loadgen.master import worker_processes
worker_processes.END_WITHIN = 0.2
worker = subprocess.Popen(["sleep", "60"])
os.kill(worker.pid, signal.SIGSTOP)
worker_processes.await_end()
print(worker.wait(60))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(-signal.SIGKILL)]

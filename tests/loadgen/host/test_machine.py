"""Processes of this machine and of others."""

import subprocess

from loadgen.host import machine


def test_a_process_is_looked_for_only_where_its_number_counts() -> None:
    here, ended = machine.this_process(), subprocess.Popen(["true"])
    gone = here | {"pid": ended.pid}
    ended.wait()
    assert (machine.is_running(here), machine.has_ended(here)) == (True, False)
    assert (machine.is_running(gone), machine.has_ended(gone)) == (False, True)
    reused = here | {"began": "1"}
    assert (machine.is_running(reused), machine.has_ended(reused)) == (False, True), "another has its number"
    elsewhere = gone | {"space": "another container's"}
    assert (machine.is_running(elsewhere), machine.has_ended(elsewhere)) == (False, False)

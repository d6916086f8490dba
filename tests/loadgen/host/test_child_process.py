"""Commands that the master runs."""

import sys

from loadgen.host import child_process


def test_a_command_of_the_masters_gets_no_ctrl_c() -> None:
    told = "import os; print(os.getpgid(0) == os.getpid())"
    assert child_process.run([sys.executable, "-c", told], capture=True).out.strip() == "True"

"""A command that is waited for: each Ctrl-C is handed on to it once, so that it can end in good order."""

import os
import time
from collections.abc import Mapping, Sequence

from common.places import ROOT
from server.process import start
from server.signals import Signals

POLL_S = 0.1
GRACE_S = 30.0  # for what is left of the command once its first process has ended


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command to its end; its exit code, as a shell gives it.

    It runs in a session of its own: a terminal's Ctrl-C reaches us alone, and the command through us. When
    it ends well after a signal the code is the signal's (130 for Ctrl-C) all the same.
    """
    with Signals() as signals:
        child = start(command, {**os.environ, **environment}, stdin=None, cwd=ROOT)
        try:
            while child.exit_code is None:
                signals.hand_on(child)
                time.sleep(POLL_S)
        finally:
            child.stop(GRACE_S)
        return signals.exit_code if signals.received else child.exit_code or 0

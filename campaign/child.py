"""A command that is waited for: each Ctrl-C is handed on to it once, so that it can end in good order."""

import os
import time
from collections.abc import Mapping, Sequence

from common.places import ROOT
from common.usage import UsageError
from server.process import Group
from server.signals import Signals

POLL_S = 0.1
GRACE_S = 30.0  # for what is left of the command once its first process has ended


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command to its end; its exit code, as a shell gives it.

    It runs in a session of its own: a terminal's Ctrl-C reaches us alone, and the command through us. When
    it ends well after a signal the code is the signal's (130 for Ctrl-C) all the same.
    """
    with Signals() as signals:
        try:
            child = Group(command, {**os.environ, **environment}, stdin=None, cwd=ROOT)
        except OSError as error:
            raise UsageError(f"the command {command[0]!r} cannot be run: {error.strerror}") from None
        handed_on = 0
        try:
            while child.exit_code is None:
                while handed_on < len(signals.received):
                    child.signal(signals.received[handed_on])
                    handed_on += 1
                time.sleep(POLL_S)
        finally:
            child.stop(GRACE_S)
        return signals.exit_code if signals.received else child.exit_code or 0

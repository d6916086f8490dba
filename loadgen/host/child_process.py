"""A command run from within Locust's event loop: spawned, not forked.

A forked copy of the master would run the fork hooks of what is loaded (OpenTelemetry's start a thread) on the
master's own event loop, and may hang before it becomes the command.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gevent

from common.places import ROOT


@dataclass(frozen=True)
class Done:
    """`code` is negative for a signal; `out` is empty where it was not captured."""

    code: int
    out: str


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, capture: bool = False) -> Done:
    """Run it to its end while other greenlets go on. Raises OSError when there is no such program.

    It has a process group of its own, so a Ctrl-C does not reach it: a run that is over gets its verdict. One
    that comes before the group is made waits for ever, since the signals of an ending are blocked.
    """
    hub = gevent.get_hub()
    hub.loop.install_sigchld()
    with tempfile.TemporaryFile() as out:
        actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), place) for place in (1, 2)] if capture else []
        pid = os.posix_spawnp(
            command[0],
            list(command),
            os.environ if environment is None else environment,
            file_actions=actions,
            setpgroup=0,
            setsigmask=(signal.SIGINT, signal.SIGTERM),
        )
        watcher = hub.loop.child(pid)
        hub.wait(watcher)
        out.seek(0)
        return Done(os.waitstatus_to_exitcode(watcher.rstatus), out.read().decode(errors="replace"))


def run_verb(words: Sequence[str], capture: bool = False) -> Done:
    """`tokenswarm WORDS`, from wherever Locust was started."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return run([sys.executable, "-m", "tokenswarm", *words], here, capture)

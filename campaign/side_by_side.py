"""A repeat of two variants at once: both servers and both loads on one machine, under the same arrivals.

What the machine does meanwhile then meets both. The two loads agree on their start by themselves
(loadgen.master.partner); here they are started, watched and ended together.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from campaign import load as loads
from campaign.child import GRACE_S, POLL_S
from campaign.load import INTERRUPTED, Load
from campaign.state import Campaign
from campaign.step import begin_run, end_run
from common.places import ROOT
from common.results import BESIDE, READY, REFUSED
from common.strictyaml import bare
from common.terminal import say
from common.usage import UsageError
from server import health, runfolder
from server.cores import kept_to
from server.deployment import read_deployment
from server.places import Place, places
from server.process import Group, start
from server.signals import Signals

# Makes both runs, each in its folder and at its place; their exit codes.
Runner = Callable[[Load, Sequence[str], Sequence[Path], Sequence[Place]], list[int]]


def check(load: Load, variants: Sequence[str]) -> None:
    """Raise UsageError for what cannot go side by side, before anything is started."""
    if load.host is not None:
        raise UsageError(
            "--side-by-side: --host is one server, and it takes two; leave --host out, and both are launched"
        )
    if len(variants) != 2:
        raise UsageError(
            f"--side-by-side: takes two variants, and {len(variants)} are named; name two, or leave it out"
        )
    for place in _places(load, variants, repeat=1):
        health.require_free(place.port)


def _places(load: Load, variants: Sequence[str], repeat: int) -> list[Place]:
    """Cards and cores change hands from repeat to repeat, so that what differs between them cancels."""
    deployments = [read_deployment(each, load.target, load.port + at) for at, each in enumerate(variants)]
    return places(deployments, load.workers if load.pin else None, swapped=repeat % 2 == 0)


def make_pair(campaign: Campaign, number: int, load: Load, runner: Runner) -> int | None:
    """Make both runs of a step's repeat (steps from 0); None when the campaign goes on, else the exit code.

    A repeat is made whole or again: one run without the one beside it says nothing here.
    """
    repeat = campaign.steps[number].repeat
    steps = [step for step in campaign.steps if step.repeat == repeat]
    variants = [step.variant for step in steps]
    where = _places(load, variants, repeat)
    told = f"repeat {repeat} of {campaign.request['repeats']}"
    on = [f"{bare(each)} on {place}" for each, place in zip(variants, where, strict=True)]
    say(f"{told}, side by side: {'; '.join(on)}")
    folders = []
    for step in steps:
        step.wait()
        folders.append(begin_run(campaign, step, load))
    began = time.monotonic()
    codes = runner(load, variants, folders, where)
    seconds = time.monotonic() - began
    found = [end_run(step, folder, seconds) for step, folder in zip(steps, folders, strict=True)]
    interrupted = next((code for code in codes if code in INTERRUPTED), None)
    whole = all(each.verdict for each in found)
    for step, each in zip(steps, found, strict=True):
        if whole:
            step.state, step.verdict = "done", each.verdict
            say(f"{told}: {bare(step.variant)}: {each.verdict}")
        else:
            step.wait()
    campaign.save()
    if interrupted is not None:
        say("interrupted; the same command goes on from there")
        return interrupted
    if whole:
        return None
    for variant, each in zip(variants, found, strict=True):
        if each.not_applied:
            how = "was refused" if each.not_applied == REFUSED else "did not start"
            say(f"{told}: {bare(variant)} {how}: {each.reason}")
    say(f"{told}: there are not two runs of it; once that is mended, the same command goes on here")
    return next((code for code in codes if code), 1)


def run_pair(
    load: Load, variants: Sequence[str], folders: Sequence[Path], where: Sequence[Place]
) -> list[int]:
    """Run both to their end; their exit codes, or the signal's for both.

    Whoever ends before both loads could begin ends the other, too. Each signal is handed on to both.
    """
    with Signals() as signals, contextlib.ExitStack() as stack:
        groups: list[Group] = []
        told: list[int] = []
        for at, variant in enumerate(variants):
            group, reading = _start(load, variant, folders[at], folders[1 - at], where[at])
            groups.append(group)
            told.append(reading)
            stack.callback(group.stop, GRACE_S)
        for reading, variant in zip(told, variants, strict=True):  # no thread while a process is forked
            threading.Thread(target=_tell, args=(reading, bare(variant)), daemon=True).start()
        begun = False
        failed: int | None = None  # which of the two came to nothing, so that the other was ended
        while any(group.exit_code is None for group in groups):
            signals.hand_on(*groups)
            begun = begun or all((folder / READY).is_file() for folder in folders)
            gone = [at for at, group in enumerate(groups) if group.exit_code is not None]
            if gone and failed is None and not (begun or signals.received):
                failed = gone[0]
                other = 1 - failed
                names = bare(variants[failed]), bare(variants[other])
                say(f"{names[0]} ended before both could begin, so {names[1]} is ended, too")
                groups[other].signal(signal.SIGTERM)
            time.sleep(POLL_S)
        if signals.received:
            return [signals.exit_code] * len(groups)
        if failed is not None:
            runfolder.discard(folders[1 - failed])
            return [groups[failed].exit_code or 0]  # the other's is that of our signal
        return [group.exit_code or 0 for group in groups]


def _start(load: Load, variant: str, folder: Path, beside: Path, place: Place) -> tuple[Group, int]:
    """Start one of the two; what it says is read from the descriptor. Raises UsageError."""
    load = replace(load, port=place.port)
    command, environment = loads.launching(load, variant, load.command(), folder)
    environment |= place.environment | {BESIDE: str(beside), "PYTHONUNBUFFERED": "1"}
    reading, writing = os.pipe()
    try:
        with kept_to(place.cores), os.fdopen(writing, "wb") as output:
            group = start(command, {**os.environ, **environment}, output, cwd=ROOT)
    except UsageError:
        os.close(reading)
        raise
    return group, reading


def _tell(reading: int, name: str) -> None:
    """Say each line with the variant's name before it, until whoever writes has ended."""
    with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
        for line in filter(str.strip, lines):
            say(f"{name}: {line.rstrip()}")

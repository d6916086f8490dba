"""What a report's servers ran on, and what made the load, as far as the runs tell.

Only of a server that was launched for its run is the hardware known. One that ran already, or far away,
is named by its address; the machine of the load is then no hardware of the server's.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.runs.runs import Run

PROCESS_START = "process_start_time_seconds"
CONFIGURATION = "vllm:cache_config_info"  # its labels are the server's flags
TOKENS = "vllm:generation_tokens_total"
_SIGN_IN = re.compile(r"(?<=//)[^/@]*@")  # a name and a password have no place in a report


@dataclass(frozen=True)
class Machines:
    """`hosts`: the addresses of what was not launched, `server`: the same in words; `load_from`: the load's
    machine, where the hardware of a server is another's. None where there is nothing to say."""

    hardware: str
    hosts: list[str]
    server: str | None
    load_from: str | None


def one_server(groups: Mapping[str, Sequence[Run]]) -> str | None:
    """What is known of one address that answered for each of several variants; None where they were servers
    of their own, as far as their metrics tell."""
    runs = [run for group in groups.values() for run in group]
    found = {None if run.manifest.server else run.manifest.host for run in runs}
    host = next(iter(found))
    if len(groups) < 2 or len(found) > 1 or host is None:
        return None
    firsts = [group[0] for group in groups.values()]
    same = [same_process(firsts[0], other) for other in firsts[1:]]
    if False in same:
        return None
    where = _SIGN_IN.sub("", host)
    if None in same:
        told = "whether its server differed is not known: the labels are yours"
        return f"One address answered for every variant ({where}); {told}."
    return f"One server process answered for every variant ({where}), so this compares it with itself."


def same_process(one: Run, other: Run) -> bool | None:
    """Whether one process served both runs; None where nothing tells.

    A process has one start and one configuration, and its counters never fall.
    """
    if one.manifest.versions.get("vllm") != other.manifest.versions.get("vllm"):
        return False
    if one.manifest.model != other.manifest.model:
        return False
    if one.server.label_sets(CONFIGURATION) != other.server.label_sets(CONFIGURATION):
        return False
    starts = [run.server.gauge(PROCESS_START) for run in (one, other)]
    if starts[0] is not None and starts[1] is not None:
        return bool(starts[0][1][-1] == starts[1][1][-1])
    earlier, later = sorted((one, other), key=lambda run: run.manifest.started_at or "")
    counted = [run.server.gauge(TOKENS) for run in (earlier, later)]
    if counted[0] is None or counted[1] is None or not counted[0][1][-1]:
        return None
    return bool(counted[1][1][0] >= counted[0][1][-1])


def machines(groups: Mapping[str, Sequence[Run]]) -> Machines:
    """Of all variants' runs; the hardware is the first variant's."""
    first = next(iter(groups.values()))[0]
    far = next((run for group in groups.values() for run in group if elsewhere(run)), None)
    hosts = list(dict.fromkeys(host for group in groups.values() for host in _addresses(group)))
    load_from = None if far is None else processor(far) or "unknown"
    return Machines(_hardware(first), hosts, _server(groups), load_from)


def _hardware(run: Run) -> str:
    if elsewhere(run):
        return "unknown"
    here = processor(run)
    if run.manifest.server is None and here:
        return f"{here}, which made the load too (whether it has a GPU is not known)"
    name = ((run.manifest.server or {}).get("hardware") or {}).get("name")
    return "; ".join(dict.fromkeys(part for part in (name, here) if part)) or "unknown"


def elsewhere(run: Run) -> bool:
    """Whether the server may be on another machine than the load."""
    manifest = run.manifest
    if manifest.server is not None or manifest.host is None:
        return False
    return not manifest.lanes or not all(lane.beside_server for lane in manifest.lanes)


def processor(run: Run) -> str | None:
    """CPU and cores of the machine that made the load, as far as it is known."""
    machine = run.manifest.machine
    cores = f", {machine['cores']} cores" if machine.get("cores") else ""
    return f"{machine['cpu']}{cores}" if machine.get("cpu") else None


def _server(groups: Mapping[str, Sequence[Run]]) -> str | None:
    """The addresses; with the variants where not all have the same."""
    found = {variant: ", ".join(_addresses(group)) for variant, group in groups.items()}
    if len(set(found.values())) == 1:
        return next(iter(found.values())) or None
    return ", ".join(f"{text} ({variant})" for variant, text in found.items() if text)


def _addresses(runs: Sequence[Run]) -> list[str]:
    hosts = [run.manifest.host for run in runs if run.manifest.server is None and run.manifest.host]
    return list(dict.fromkeys(_SIGN_IN.sub("", host) for host in hosts))

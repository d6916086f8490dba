"""What a report's servers ran on, and what made the load, as far as the runs tell.

Only of a server that was launched for its run is the hardware known. One that ran already, or far away,
is named by its address; the machine of the load is then no hardware of the server's.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.runs.runs import Run

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
    """The address of a server that ran already and answered for each of several variants."""
    runs = [run for group in groups.values() for run in group]
    found = {None if run.manifest.server else run.manifest.host for run in runs}
    alone = len(groups) < 2 or len(found) > 1
    host = next(iter(found))
    return None if alone or host is None else _SIGN_IN.sub("", host)


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

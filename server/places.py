"""Two servers on one machine: what of it each has, so that neither takes the other's."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from common.usage import UsageError
from server.cores import halves, own
from server.deployment import Deployment
from server.gpu import VISIBLE, cards, require_gpu

KV_SPACE, KV_SPACE_USUAL = "VLLM_CPU_KVCACHE_SPACE", 4.0  # GiB; what vLLM takes where nobody says
PROCESSES = 2.0  # GiB: of a server on a CPU beside its KV cache
GIB = 2**30


@dataclass(frozen=True)
class Place:
    """One server's part. `cores`: of the server and its load; None: all, shared with the other."""

    port: int
    cards: tuple[str, ...] = ()  # as CUDA_VISIBLE_DEVICES names them
    cores: tuple[int, ...] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Of the launcher, which hands it on to the server and to what watches its cards."""
        if not self.cards:
            return {}
        return {VISIBLE: ",".join(self.cards), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

    def __str__(self) -> str:
        on = [f"GPU {', '.join(self.cards)}"] if self.cards else []
        on += [f"core {', '.join(map(str, self.cores))}"] if self.cores is not None else []
        return " and ".join(on)


def places(deployments: Sequence[Deployment], pinned: int | None, swapped: bool) -> list[Place]:
    """A place for each of two deployments of one target, which have their ports.

    pinned: workers that get cores of their own; None: none. swapped: the second has what else the first has.
    Raises UsageError where the machine has too little for both.
    """
    turn = -1 if swapped else 1
    chosen: list[tuple[str, ...]] = [(), ()]
    cores: list[tuple[int, ...]] = []
    on_gpu = deployments[0].target.kind == "gpu"
    if on_gpu:
        require_gpu(deployments[0].target_name)
        chosen = deal([_needs(each) for each in deployments], cards(), swapped)
    else:
        _require_memory(deployments)
    if pinned is not None or not on_gpu:
        cores = _cores(pinned)[::turn]
    return [
        Place(each.port, chosen[number], cores[number] if cores else None)
        for number, each in enumerate(deployments)
    ]


def deal(needs: Sequence[int], there: Sequence[str], swapped: bool) -> list[tuple[str, ...]]:
    """Cards for each of two servers, no card for both. Raises UsageError where they are too few."""
    if sum(needs) > len(there):
        raise UsageError(
            f"--side-by-side: the two servers take {needs[0]} + {needs[1]} GPUs, and there are {len(there)}; "
            "leave it out, and they take turns"
        )
    first = needs[1] if swapped else needs[0]
    parts = tuple(there[:first]), tuple(there[first : sum(needs)])
    return [parts[1], parts[0]] if swapped else [*parts]


def _needs(deployment: Deployment) -> int:
    command = deployment.command()
    if VISIBLE in command.environment:
        raise UsageError(
            f"--side-by-side: {deployment.variant_name} sets {VISIBLE}, and here each server is given its "
            "cards; take it out of the variant or target, or leave --side-by-side out"
        )
    return command.gpus


def _cores(pinned: int | None) -> list[tuple[int, ...]]:
    """Half of this process's cores for each of the two."""
    found = halves(own("--side-by-side"))
    if pinned is not None and pinned >= len(found[0]):
        raise UsageError(
            f"--side-by-side: half of the cores are {len(found[0])}, and with --pin {pinned} workers and a "
            f"server take {pinned + 1}; leave --pin out"
        )
    return found


def _require_memory(deployments: Sequence[Deployment]) -> None:
    """Raise UsageError where there is less memory free than servers on the CPU take together."""
    spaces = [{**os.environ, **each.command().environment}.get(KV_SPACE, "") for each in deployments]
    caches = [float(text) if text.isdigit() else KV_SPACE_USUAL for text in spaces]
    wanted, free = sum(caches) + PROCESSES * len(caches), psutil.virtual_memory().available / GIB
    if wanted > free:
        raise UsageError(
            f"--side-by-side: the two servers take about {wanted:.0f} GiB of memory, and {free:.1f} are "
            f"free; lower {KV_SPACE}, or leave --side-by-side out, and they take turns"
        )

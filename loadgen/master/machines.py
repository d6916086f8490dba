"""The machines beside a run: ours is watched here, another one by the first worker on it."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from loadgen.client.transport import Host
from loadgen.host import clock, machine
from loadgen.host.watch import Watch, Watching
from loadgen.records import watched

SWITCH = "TOKENSWARM_WATCH"  # 0: watch no machine and no GPU

logger = logging.getLogger(__name__)


class Machines:
    """`hosts`: the addresses of the server and of its metrics."""

    def __init__(self, *hosts: Host) -> None:
        self._watch = Watch(
            [(each.address[0], machine.owns(each.family, each.address), each.address[1]) for each in hosts]
        )
        self._watching: Watching | None = None
        self._samples = watched.Samples()
        self._tables: list[pa.Table] = []

    def start(
        self, ready: Mapping[int, dict[str, Any]], now: Callable[[], float], partner: int | None = None
    ) -> dict[int, list[int]]:
        """Watch ours, if workers or the server run on it. `ready`: what each lane's worker said of itself.
        `partner`: the process that started all of the run beside ours.

        Which lanes' workers are to watch theirs, and the processes of the workers there. A machine of which
        workers do not see one another, in containers, is watched by none: each would take the others for
        strangers.
        """
        if os.environ.get(SWITCH) == "0":
            return {}
        ours, chosen = machine.this_process()["space"], {}
        lanes_of: dict[str, dict[int, dict[str, Any]]] = {}
        for lane, said in ready.items():
            lanes_of.setdefault(said["boot"], {})[lane] = said["process"]
        here = lanes_of.pop(clock.boot(), {})
        alone = all(process["space"] == ours for process in here.values())
        if clock.boot() and alone and (here or self._watch.server_here):
            self._watch.expect((process["pid"] for process in here.values()), partner)
            self._watching = Watching(self._watch, now, self._samples.extend)
            self._watching.start()
        for boot, lanes in lanes_of.items():
            if boot and len({process["space"] for process in lanes.values()}) == 1:
                chosen[min(lanes)] = [process["pid"] for process in lanes.values()]
        return chosen

    def stop(self) -> None:
        """Of ours; a second call changes nothing."""
        if self._watching is not None:
            self._watching.stop()
            self._tables.append(self._samples.table())
            self._watching = None

    def take(self, content: bytes) -> None:
        """What a worker saw of its machine."""
        try:
            self._tables.append(watched.unpack(content))
        except ValueError as error:
            logger.warning("what a worker saw of its machine cannot be read: %s", error)

    def write(self, path: Path) -> None:
        """Write machine.parquet; none where nothing was seen. Raises OSError."""
        if self._tables:
            watched.write(path, self._tables)

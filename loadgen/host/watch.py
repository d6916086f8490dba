"""This machine beside a run, once a second: who takes its cores, and what waits for them.

A sample is rows as /metrics gives them (t, name, labels, value); counters count from the first sample on. The
client is the load generator, the server what answers at its address, the partner the server and the load of a
run beside this one, and the others are all else. Interrupts are nobody's: the kernel does them for whoever it
is.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import gevent
import psutil

from loadgen.host import beat, processes
from loadgen.host.processes import Process, Table

_CPUS = Path("/sys/devices/system/cpu")
_CLOCKS = [str(each) for each in sorted(_CPUS.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))[:8]]
EVERY = 1.0  # s
# s after the start, when the server's processes are looked for again; then each LOOK_EVERY.
LOOKS = (2.0, 5.0, 15.0)
LOOK_EVERY = 60.0  # s; some 20 ms of CPU each
# Looks that follow connections; a gateway's to its engines are there by the second. They grow with the load.
FOLLOWED = 2
NOTICED = 0.05  # of the cores: when others take more, they are looked at one by one
THREADS = 8  # of a process, the busiest; a hundred sleep
NAMED = 5  # other programs that are told apart
PROCESSES = 16  # of the server, the busiest
LOOK_SHARE = 0.003  # of a core, at most, for looking at each process of a machine that has thousands
PREFIX = "host:"
Row = tuple[float, str, str, float]  # as loadgen.records.watched has it


class Watch:
    """Samples of this machine. `addresses`: (address, whether ours, port) of the server and its metrics."""

    def __init__(self, addresses: Iterable[tuple[str, bool, int]], label: str = "master") -> None:
        addresses = list(addresses)
        self._ports = [port for _, own, port in addresses if own]
        self._hidden = any(not own and processes.beyond_a_bridge(address) for address, own, _ in addresses)
        self._label, self._cores = label, os.cpu_count() or 1
        self._all = processes.sees_all()
        self._clients: set[int] = set()  # beside this process
        self._ours: set[int] = set()
        self._launcher: int | None = None  # of the run beside ours
        self._partner: set[int] = set()  # its processes
        self._server: dict[int, str] = {}  # its processes, and the names they go by
        self._accelerated: bool | None = None  # whether the server uses an accelerator of this machine
        self._known = not self._ports and not self._hidden  # whose processes the server's are, if here
        self._before: Table = {}  # at the last look at every process
        self._cpu: dict[int, tuple[int, float]] = {}  # of our own and the server's at the last sample
        self._stat: dict[str, float] = {}
        self._threads: dict[int, dict[int, tuple[int, int]]] = {}
        self._totals: defaultdict[str, float] = defaultdict(float)
        self._by_process: dict[str, defaultdict[str, float]] = {}
        self._by_other: defaultdict[str, float] = defaultdict(float)
        self._looks = 0  # that followed connections
        self._rested = 0.0  # from when on every process may be looked at again, time.monotonic()

    @property
    def server_here(self) -> bool:
        """Whether the server's address is this machine's own."""
        return bool(self._ports)

    def expect(self, pids: Iterable[int], partner: int | None = None) -> None:
        """Processes of this machine that are the load generator's, beside this one. `partner`: the one that
        started all of a run beside ours, which is no stranger's."""
        self._clients |= set(pids)
        self._launcher = partner

    def look(self) -> None:
        """Find the processes that are ours and the server's. Some 20 ms."""
        began = time.thread_time()
        among = processes.table()
        here = os.getpid()
        self._ours = processes.descendants({here, *self._clients}, among)
        if self._ports:
            self._server = self._named(self._serving(among), among)
        if self._launcher is not None:
            family = processes.descendants({self._launcher}, among)
            self._partner = family - self._ours - self._server.keys()
        self._accelerated = processes.accelerated(self._server)
        for pid in self._server:
            self._threads[pid] = _busiest(pid, self._threads.get(pid, {}))
        for pid in self._kept() & among.keys():
            self._cpu.setdefault(pid, (among[pid].began, among[pid].own))
        self._before = self._before or among
        self._totals["watch"] += time.thread_time() - began

    def _serving(self, among: Table) -> set[int]:
        """The server's processes: by who listens, and later by what those that were found have started."""
        alive = self._server.keys() & among.keys()
        if self._looks >= FOLLOWED and alive:
            return processes.descendants(alive, among)
        kin = self._ours | processes.ancestors(os.getpid(), among)
        found = processes.serving(self._ports, among, kin)
        self._known = found is not None
        self._looks += 1
        return found or set()

    def rows(self, t: float) -> list[Row]:
        """One sample. The first holds zeros."""
        began = time.thread_time()
        stat = _stat()
        now = {pid: process for pid in self._kept() if (process := processes.read(pid))}
        first = not self._stat
        spent = {pid: _gained(process, self._cpu.get(pid)) for pid, process in now.items()}
        self._cpu = {pid: (process.began, process.own) for pid, process in now.items()}
        client = sum(spent[pid] for pid in self._ours & now.keys())
        server = sum(spent[pid] for pid in self._server.keys() & now.keys())
        partner = sum(spent[pid] for pid in self._partner & now.keys())
        gone = {name: max(stat[name] - self._stat.get(name, value), 0.0) for name, value in stat.items()}
        self._stat = stat
        rest = max(gone.get("busy", 0.0) - client - server - partner, 0.0)
        if not first:
            self._totals["partner"] += partner
            self._count(gone, client, server, rest)
            self._count_server(spent)
        found = [*self._told(t), self._row(t, "watch_cpu_seconds_total", self._totals["watch"])]
        self._totals["watch"] += time.thread_time() - began  # of this sample: stands in the next
        return found

    def _kept(self) -> set[int]:
        return self._ours | self._server.keys() | self._partner

    def _count(self, gone: dict[str, float], client: float, server: float, rest: float) -> None:
        seen = self._look_at_others(rest) if rest > NOTICED * self._cores * EVERY else 0.0
        taken = {"client": client, "server": server, "others": rest if self._all else min(seen, rest)}
        for who, seconds in [*gone.items(), *taken.items()]:
            self._totals[who] += seconds

    def _look_at_others(self, most: float) -> float:
        """Who they are; what of it can be seen, s."""
        if time.monotonic() < self._rested:
            return 0.0
        began = time.thread_time()
        among, mine = processes.table(), self._kept() | {os.getpid()}
        gains: defaultdict[str, float] = defaultdict(float)
        for pid, process in among.items():
            if pid in mine:
                continue
            old = self._before.get(pid)
            same = old is not None and old.began == process.began
            own = process.own - old.own if old and same else process.own
            reaped = process.reaped - old.reaped if old and same else process.reaped
            gains[process.name] += own + reaped
        for pid, old in self._before.items():  # what was counted as its own, and is now its parent's
            if pid not in mine and (pid not in among or among[pid].began != old.began):
                parent = among.get(old.parent)
                if parent is not None:
                    gains[parent.name] -= old.own + old.reaped
        self._before = among
        seen = sum(max(each, 0.0) for each in gains.values())
        for name, seconds in sorted(gains.items(), key=lambda each: -each[1])[:NAMED]:
            if seconds > 0:
                self._by_other[name] += seconds * min(1.0, most / seen)
        self._rested = time.monotonic() + (time.thread_time() - began) / LOOK_SHARE - EVERY
        return min(seen, most)

    def _count_server(self, spent: dict[int, float]) -> None:
        for pid, name in self._server.items():
            busiest, waited = self._thread_gains(pid)
            counts = self._by_process.setdefault(name, defaultdict(float))
            counts["cpu"] += spent.get(pid, 0.0)
            counts["thread"] += busiest
            counts["wait"] += waited

    def _thread_gains(self, pid: int) -> tuple[float, float]:
        """CPU time of the busiest thread since the last sample, and how long threads waited for a core."""
        before = self._threads.get(pid, {})
        after = {tid: found for tid in before if (found := _schedstat(pid, tid)) is not None}
        self._threads[pid] = {**before, **after}
        ran = [(after[tid][0] - before[tid][0]) / 1e9 for tid in after]
        return max(ran, default=0.0), sum((after[tid][1] - before[tid][1]) / 1e9 for tid in after)

    def _named(self, pids: set[int], among: Table) -> dict[int, str]:
        """A name for each, no two alike; those that used the most CPU time."""
        most = sorted(pids & among.keys(), key=lambda pid: -among[pid].own)[:PROCESSES]
        found: dict[int, str] = {}
        for pid in sorted(most):
            name = self._server.get(pid) or processes.title(pid, among[pid])
            number = 2
            while name in found.values():
                name = f"{name.partition(' #')[0]} #{number}"
                number += 1
            found[pid] = name
        return found

    def _told(self, t: float) -> list[Row]:
        row, total = self._row, self._totals
        found = [row(t, "cores", self._cores), row(t, "server_known", float(self._known))]
        if self._accelerated is not None:
            found.append(row(t, "server_accelerated", float(self._accelerated)))
        found += [
            row(t, "cpu_seconds_total", total[who], who=who)
            for who in ("client", "server", "others", "interrupts", "steal", "idle")
        ]
        if self._launcher is not None:
            found.append(row(t, "cpu_seconds_total", total["partner"], who="partner"))
        found += [
            row(t, "other_cpu_seconds_total", each, process=name) for name, each in self._by_other.items()
        ]
        for name, counts in self._by_process.items():
            for kind, series in (("cpu", "cpu"), ("thread", "busiest_thread"), ("wait", "run_queue")):
                found.append(row(t, f"process_{series}_seconds_total", counts[kind], process=name))
        return found + [row(t, name, value, **labels) for name, labels, value in _around()]

    def _row(self, t: float, name: str, value: float, **labels: str) -> Row:
        return t, PREFIX + name, json.dumps({"machine": self._label, **labels}, sort_keys=True), float(value)


class Watching:
    """Takes a sample each second, in a thread, until it is stopped. `clock`: seconds from the run's start.
    `keep` gets its rows."""

    def __init__(self, watch: Watch, clock: Callable[[], float], keep: Callable[[list[Row]], None]) -> None:
        self.watch, self._clock, self._keep = watch, clock, keep
        self._threads = gevent.get_hub().threadpool
        self._greenlet: gevent.Greenlet | None = None
        self._began, self._looks = 0.0, list(LOOKS)

    def start(self) -> None:
        self._threads.apply(self.watch.look)
        self._began = time.monotonic()
        self._greenlet = gevent.spawn(beat.each, EVERY, self._sample)

    def stop(self) -> None:
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None

    def _sample(self) -> None:
        since = time.monotonic() - self._began
        if since >= self._looks[0]:
            self._looks = self._looks[1:] or [self._looks[0] + LOOK_EVERY]
            self._threads.apply(self.watch.look)
        self._keep(self._threads.apply(self.watch.rows, (self._clock(),)))


def _gained(process: Process, before: tuple[int, float] | None) -> float:
    return max(process.own - before[1], 0.0) if before and before[0] == process.began else 0.0


def _stat() -> dict[str, float]:
    """Seconds of CPU time since the boot, of all cores together."""
    times = psutil.cpu_times()
    busy = times.user + times.system + getattr(times, "nice", 0.0)
    return {
        "busy": busy,
        "interrupts": getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0),
        "steal": getattr(times, "steal", 0.0),
        "idle": times.idle + getattr(times, "iowait", 0.0),
    }


def _schedstat(pid: int, tid: int) -> tuple[int, int] | None:
    """(ns on a core, ns waiting for one) of a thread."""
    try:
        ran, waited, _ = Path(f"/proc/{pid}/task/{tid}/schedstat").read_bytes().split()
        return int(ran), int(waited)
    except (OSError, ValueError):
        return None


def _busiest(pid: int, known: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """The process's threads that took the most CPU time, with their figures as last seen."""
    try:
        tids = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return {}
    found = {tid: told for tid in tids if (told := _schedstat(pid, tid)) is not None}
    most = sorted(found, key=lambda tid: -found[tid][0])[:THREADS]
    return {tid: known.get(tid, found[tid]) for tid in most}


def _around() -> list[tuple[str, dict[str, str], float]]:
    """Pressure, memory, swap and clock, as far as the system tells them."""
    found: list[tuple[str, dict[str, str], float]] = []
    for resource in ("cpu", "memory", "io"):
        text = _text(f"/proc/pressure/{resource}")
        if text.startswith("some") and "total=" in text:
            total = text.partition("\n")[0].rpartition("total=")[2]
            found.append(("pressure_seconds_total", {"resource": resource}, int(total) / 1e6))
    memory = _fields("/proc/meminfo", "MemAvailable:")
    found += [("memory_available_bytes", {}, 1024 * each) for each in memory]
    swapped = _fields("/proc/vmstat", "pswpin", "pswpout")
    found += [("swap_pages_total", {}, sum(swapped))] if swapped else []
    clocks = [int(text) * 1e3 for path in _CLOCKS if (text := _text(path).strip()).isdigit()]
    return found + ([("cpu_hertz", {}, sum(clocks) / len(clocks))] if clocks else [])


def _fields(path: str, *names: str) -> list[float]:
    lines = [line.split() for line in _text(path).splitlines() if line.startswith(names)]
    return [float(words[1]) for words in lines if words[0] in names]


def _text(path: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace")
    except OSError:
        return ""

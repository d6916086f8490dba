"""NVIDIA GPUs of this machine, read by NVML while a server runs on them; nothing is ever set on them."""

import contextlib
import json
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from loadgen.host import processes
from loadgen.records.watched import Row

PREFIX = "gpu:"  # of the series' names in server_metrics.parquet, beside the server's own `vllm:`
ENERGY, POWER = f"{PREFIX}energy_joules_total", f"{PREFIX}power_watts"
EVERY = 0.2  # s between two readings
SECOND = 5  # readings between two of the energy: 4.3 ms of CPU on an H200, where others take 0.05
SELDOM = 20  # between two of what hardly moves, and of who is on the card
EVENTS = 16  # of a reading, at most
Line = tuple[str, dict[str, str], float]  # a series' name and labels, and its value


class Gpus:
    """The GPUs that a server on this machine can use; none where there is no NVIDIA driver or no binding."""

    def __init__(self, nvml: Any = None, launcher: int | None = None) -> None:
        """nvml: the binding, for tests; default: pynvml, where it is installed and finds a driver.
        launcher: the process that started the server: others' on a card are none of its descendants."""
        self._nvml = _binding() if nvml is None else nvml
        self._handles: dict[str, Any] = {}
        self._events: dict[str, Any] = {}
        for index in range(self._nvml.nvmlDeviceGetCount() if self._nvml else 0):
            with contextlib.suppress(self._nvml.NVMLError):  # one that fell off the bus
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                if _visible(index, self._nvml.nvmlDeviceGetUUID(handle)):
                    self._handles[str(index)] = handle
        self._whose = _Whose(launcher)
        self._xids: Counter[tuple[str, int]] = Counter()
        self._read, self._spent = 0, 0.0
        self._latest: dict[str, float] = {}
        for name, handle in self._handles.items():
            self._listen(name, handle)

    def __len__(self) -> int:
        return len(self._handles)

    def rows(self, t: float, whole: bool = False) -> list[Row]:
        """One reading of each, at `t` s; what a card can't tell is left out. whole: all there is to read.

        Power in W (the driver's mean over a second on recent cards), energy in J since the driver was loaded,
        clocks in Hz, memory in bytes, utilisation as the share of time in which a kernel ran.
        """
        began = time.thread_time()
        second, seldom = (whole or self._read % each == 0 for each in (SECOND, SELDOM))
        found = [
            line for name, card in self._handles.items() for line in self._of(name, card, second, seldom)
        ]
        if second and self._handles:
            found += [*self._critical(), (f"{PREFIX}watch_cpu_seconds_total", {"gpu": "all"}, self._spent)]
        sums: defaultdict[str, float] = defaultdict(float)
        for name, _, value in found:
            sums[name] += value
        self._latest |= {name: sums[name] for name in (ENERGY, POWER) if name in sums}
        rows = [(t, name, _json(labels), value) for name, labels, value in found]
        self._read += 1
        self._spent += time.thread_time() - began  # of this reading: stands in a later one
        return rows

    @property
    def latest(self) -> dict[str, float]:
        """ENERGY and POWER of all cards together, as last read; without what none of them tells."""
        return self._latest

    def _of(self, index: str, handle: Any, second: bool, seldom: bool) -> Iterator[Line]:
        whole = self._always(handle)
        whole |= self._each_second(handle) if second else {}
        whole |= self._seldom(handle) if seldom else {}
        for (name, *more), ask in whole.items():
            with contextlib.suppress(self._nvml.NVMLError):  # a card, or a virtual one, that lacks this
                yield f"{PREFIX}{name}", {"gpu": index, **dict(more)}, float(ask())
        if seldom:
            yield from self._processes(index, handle)

    def _critical(self) -> Iterator[Line]:
        for index in self._events:
            self._listened(index)
        for (index, xid), count in self._xids.items():
            yield f"{PREFIX}xid_errors_total", {"gpu": index, "xid": str(xid)}, float(count)

    def _always(self, handle: Any) -> dict[tuple[Any, ...], Callable[[], float]]:
        nvml = self._nvml
        return {
            ("power_watts",): lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
            ("sm_clock_hertz",): lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM) * 1e6,
            ("utilization_ratio",): lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
            ("throttle_reasons",): lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
        }

    def _each_second(self, handle: Any) -> dict[tuple[Any, ...], Callable[[], float]]:
        nvml = self._nvml
        return {
            ("energy_joules_total",): lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3,
        }

    def _seldom(self, handle: Any) -> dict[tuple[Any, ...], Callable[[], float]]:
        nvml = self._nvml
        return {
            ("memory_clock_hertz",): lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM) * 1e6,
            ("memory_used_bytes",): lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used,
            ("temperature_celsius",): lambda: nvml.nvmlDeviceGetTemperature(
                handle, nvml.NVML_TEMPERATURE_GPU
            ),
            ("power_limit_watts",): lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3,
            ("ecc_errors_total", ("kind", "uncorrected")): lambda: nvml.nvmlDeviceGetTotalEccErrors(
                handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
            ),
            ("ecc_errors_total", ("kind", "corrected")): lambda: nvml.nvmlDeviceGetTotalEccErrors(
                handle, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, nvml.NVML_VOLATILE_ECC
            ),
        }

    def _processes(self, index: str, handle: Any) -> Iterator[Line]:
        """How many of the server's and of others compute there, and what each of the others takes.

        Nothing where none of the server's is among them: in a container NVML tells other pids, or none.
        """
        nvml = self._nvml
        try:
            found = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except nvml.NVMLError:
            return
        memory = {each.pid: float(each.usedGpuMemory or 0) for each in found}
        self._whose.look(memory)
        others = {pid: name for pid in memory if (name := self._whose.others.get(pid)) is not None}
        if not self._whose.server:
            return
        yield f"{PREFIX}processes", {"gpu": index, "who": "server"}, float(len(memory) - len(others))
        yield f"{PREFIX}processes", {"gpu": index, "who": "others"}, float(len(others))
        used = self._used(handle) if others else {}
        for pid, name in others.items():
            labels = {"gpu": index, "process": name}
            yield f"{PREFIX}other_memory_bytes", labels, memory[pid]
            if used is not None:
                yield f"{PREFIX}other_utilization_ratio", labels, used.get(pid, 0.0)

    def _used(self, handle: Any) -> dict[int, float] | None:
        """Each process's share of the time in which the multiprocessors ran, lately; None where not told."""
        nvml = self._nvml
        try:
            last = int((time.time() - 1.5 * SELDOM * EVERY) * 1e6)
            samples = nvml.nvmlDeviceGetProcessUtilization(handle, last)
        except nvml.NVMLError as error:
            none = (nvml.NVML_SUCCESS, nvml.NVML_ERROR_NOT_FOUND)  # no sample: the binding raises for both
            return {} if error.value in none else None
        found: dict[int, float] = {}
        for each in samples:
            found[each.pid] = max(found.get(each.pid, 0.0), each.smUtil / 100)
        return found

    def _listen(self, index: str, handle: Any) -> None:
        """Have the driver note critical errors (Xid) of a card; a note changes nothing on it."""
        nvml = self._nvml
        with contextlib.suppress(nvml.NVMLError):
            events = nvml.nvmlEventSetCreate()
            nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, events)
            self._events[index] = events

    def _listened(self, index: str) -> None:
        nvml = self._nvml
        for _ in range(EVENTS):
            try:
                self._xids[index, int(nvml.nvmlEventSetWait_v2(self._events[index], 0).eventData)] += 1
            except nvml.NVMLError:  # there is none more
                return


class _Whose:
    """Which processes on a card are the server's, and what the others are called."""

    def __init__(self, launcher: int | None) -> None:
        self._launcher = launcher
        self.server: set[int] = set()
        self.others: dict[int, str] = {}

    def look(self, pids: dict[int, float]) -> None:
        """Once for each process: the table of a machine's processes takes milliseconds."""
        fresh = pids.keys() - self.server - self.others.keys()
        if not fresh or self._launcher is None:
            return
        among = processes.table()
        family = processes.descendants({self._launcher}, among)
        for pid in fresh:
            if pid in family:
                self.server.add(pid)
            else:
                self.others[pid] = among[pid].name if pid in among else f"process {pid}"


def _json(labels: dict[str, str]) -> str:
    """A program's name may hold anything, at any length."""
    return json.dumps({key: re.sub("[^ -~]", "?", each)[:64] for key, each in labels.items()}, sort_keys=True)


def _binding() -> Any:
    """pynvml with the driver's library open; None where either is missing."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _visible(index: int, uuid: str) -> bool:
    """Whether CUDA_VISIBLE_DEVICES, which the server inherits, lets a server use it."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return True
    return any(
        part and (part == str(index) or uuid.startswith(part))
        for part in (each.strip() for each in listed.split(","))
    )

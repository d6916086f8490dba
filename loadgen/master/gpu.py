"""NVIDIA GPUs of this machine, read by NVML while a server runs on them; nothing is ever set on them."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

PREFIX = "gpu:"  # of the series' names in server_metrics.parquet, beside the server's own `vllm:`
ENERGY, POWER = f"{PREFIX}energy_joules_total", f"{PREFIX}power_watts"


class Gpus:
    """The GPUs that a server on this machine can use; none where there is no NVIDIA driver or no binding."""

    def __init__(self, nvml: Any = None) -> None:
        """nvml: the binding, for tests; default: pynvml, where it is installed and finds a driver."""
        self._nvml = _binding() if nvml is None else nvml
        self._handles: dict[str, Any] = {}
        for index in range(self._nvml.nvmlDeviceGetCount() if self._nvml else 0):
            with contextlib.suppress(self._nvml.NVMLError):  # one that fell off the bus
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                if _visible(index, self._nvml.nvmlDeviceGetUUID(handle)):
                    self._handles[str(index)] = handle

    def __len__(self) -> int:
        return len(self._handles)

    def lines(self) -> str:
        """One reading of each as Prometheus lines, 3 to 14 ms on an H200. What a card can't tell is left out.

        Power in W (the driver's mean over a second on recent cards), energy in J since the driver was loaded,
        clocks in Hz, memory in bytes, utilisation as the share of time in which a kernel ran.
        """
        found = []
        for index, handle in self._handles.items():
            for name, value in self._reading(handle).items():
                found.append(f'{PREFIX}{name}{{gpu="{index}"}} {value!r}\n')
        return "".join(found)

    def _reading(self, handle: Any) -> dict[str, float]:
        nvml = self._nvml
        asked: dict[str, Callable[[], float]] = {
            "energy_joules_total": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3,
            "power_watts": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
            "sm_clock_hertz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM) * 1e6,
            "memory_clock_hertz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM) * 1e6,
            "memory_used_bytes": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used,
            "utilization_ratio": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
            "temperature_celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "throttle_reasons": lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
        }
        found = {}
        for name, ask in asked.items():
            with contextlib.suppress(nvml.NVMLError):  # a card, or a virtual one, that does not tell this
                found[name] = float(ask())
        return found


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

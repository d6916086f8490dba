"""NVML of one card, as far as a test has it told: what no method answers it refuses."""

from typing import Any


class OneCard:
    """Stands for pynvml. A test adds the functions that its card answers."""

    NVML_SUCCESS, NVML_ERROR_NOT_FOUND = 0, 6

    class NVMLError(Exception):
        def __init__(self, value: int = 999) -> None:
            self.value = value

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return "GPU-1f"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML_") or name == "nvmlEventTypeXidCriticalError":
            return 8

        def refuse(*_: object) -> int:
            raise self.NVMLError

        return refuse

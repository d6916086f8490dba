"""GPUs as NVML tells of them: whose processes are on a card, what broke, and what a card does not tell."""

import json
import os
from types import SimpleNamespace

import pytest

from loadgen.master.gpu import EVENTS, SECOND, SELDOM, Gpus
from tests.support.nvml import OneCard


class Card(OneCard):
    """One with two processes on it: the server's, which is this one, and another's."""

    def __init__(self, ours: int, other: int | None = None, used: int | None = None) -> None:
        """used: per cent of its time that the other one takes; None: the card does not tell."""
        self.pids = [ours, *([other] if other else [])]
        self._other, self._used, self.xids = other, used, [79]

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=5e9) for pid in self.pids]

    def nvmlDeviceGetProcessUtilization(self, handle: int, since: int) -> list[SimpleNamespace]:  # noqa: N802
        if self._used is None:
            raise self.NVMLError
        if not self._used:
            raise self.NVMLError(self.NVML_ERROR_NOT_FOUND)
        return [SimpleNamespace(pid=self._other, smUtil=each) for each in (1, self._used)]

    def nvmlEventSetCreate(self) -> object:  # noqa: N802
        return object()

    def nvmlDeviceRegisterEvents(self, handle: int, kinds: int, events: object) -> None:  # noqa: N802
        pass

    def nvmlEventSetWait_v2(self, events: object, ms: int) -> SimpleNamespace:  # noqa: N802
        assert ms == 0, "the load is never kept waiting"
        if not self.xids:
            raise self.NVMLError
        return SimpleNamespace(eventData=self.xids.pop())


def read(gpus: Gpus, whole: bool = False) -> dict[tuple[str, str], float]:
    """(name, labels but the card's) of one reading."""
    return {
        (name, " ".join(each for key, each in json.loads(labels).items() if key != "gpu")): value
        for _, name, labels, value in gpus.rows(0.0, whole)
    }


def test_anothers_process_is_told_from_the_servers_own() -> None:
    found = read(Gpus(Card(os.getpid(), other=1, used=37), launcher=os.getpid()))
    assert found["gpu:processes", "server"] == found["gpu:processes", "others"] == 1.0
    assert [value for (name, _), value in found.items() if name == "gpu:other_memory_bytes"] == [5e9]
    assert [value for (name, _), value in found.items() if name == "gpu:other_utilization_ratio"] == [0.37]


@pytest.mark.parametrize(("used", "told"), [(None, []), (0, [0.0])])
def test_what_another_computes_may_be_nothing_or_not_told(used: int | None, told: list[float]) -> None:
    found = read(Gpus(Card(os.getpid(), other=1, used=used), launcher=os.getpid()))
    assert [value for (name, _), value in found.items() if "other_utilization" in name] == told


def test_nobody_is_called_a_stranger_where_the_server_is_not_seen() -> None:
    """In a container NVML tells the pids of the host."""
    for launcher in (None, os.getpid()):
        found = read(Gpus(Card(1, other=2), launcher=launcher))
        assert not [name for name, _ in found if name.startswith("gpu:other")]


def test_what_is_dear_is_read_seldom() -> None:
    card = Card(os.getpid())
    card.nvmlDeviceGetTotalEnergyConsumption = lambda handle: 1000  # type: ignore[attr-defined]
    card.nvmlDeviceGetUtilizationRates = lambda handle: SimpleNamespace(gpu=50)  # type: ignore[attr-defined]
    gpus = Gpus(card, launcher=os.getpid())
    names = [{name for name, _ in read(gpus)} for _ in range(2 * SELDOM)]
    assert [at for at, each in enumerate(names) if "gpu:processes" in each] == [0, SELDOM]
    seconds = [at for at, each in enumerate(names) if "gpu:energy_joules_total" in each]
    assert seconds == list(range(0, 2 * SELDOM, SECOND))
    assert all("gpu:utilization_ratio" in each for each in names)
    assert "gpu:processes" in {name for name, _ in read(gpus)}, "the next is due"
    assert "gpu:processes" in {name for name, _ in read(gpus, whole=True)}, "the last of a run tells all"


def test_critical_errors_are_counted_by_their_number() -> None:
    card = Card(os.getpid())
    gpus = Gpus(card)
    assert read(gpus)["gpu:xid_errors_total", "79"] == 1.0
    card.xids = 2 * EVENTS * [79]
    assert read(gpus, whole=True)["gpu:xid_errors_total", "79"] == EVENTS + 1.0


def test_only_the_servers_own_cards_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run beside ours has the other one, so its server is no stranger on ours."""

    class TwoCards(OneCard):
        def nvmlDeviceGetCount(self) -> int:  # noqa: N802
            return 2

        def nvmlDeviceGetPowerUsage(self, handle: int) -> float:  # noqa: N802
            return 1e3 * handle

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    gpus = Gpus(TwoCards(), launcher=os.getpid())
    power = [
        (json.loads(labels)["gpu"], value) for _, name, labels, value in gpus.rows(0.0) if "power" in name
    ]
    assert len(gpus) == 1 and power == [("1", 1.0)]

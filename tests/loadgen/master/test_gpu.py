"""GPUs as NVML tells of them: whose processes are on a card, what broke, and what a card does not tell."""

import os
from types import SimpleNamespace

import pytest

from loadgen.master.gpu import EVENTS, SELDOM, Gpus
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


def test_anothers_process_is_told_from_the_servers_own() -> None:
    found = Gpus(Card(os.getpid(), other=1, used=37), launcher=os.getpid()).lines().splitlines()
    assert 'gpu:processes{gpu="0",who="server"} 1.0' in found
    assert 'gpu:processes{gpu="0",who="others"} 1.0' in found
    [memory] = [line for line in found if line.startswith("gpu:other_memory_bytes")]
    assert memory.endswith(" 5000000000.0")
    [used] = [line for line in found if line.startswith("gpu:other_utilization_ratio")]
    assert used.endswith(" 0.37")


@pytest.mark.parametrize(("used", "told"), [(None, []), (0, ["0.0"])])
def test_what_another_computes_may_be_nothing_or_not_told(used: int | None, told: list[str]) -> None:
    found = Gpus(Card(os.getpid(), other=1, used=used), launcher=os.getpid()).lines().splitlines()
    assert [line.split()[-1] for line in found if "other_utilization" in line] == told


def test_nobody_is_called_a_stranger_where_the_server_is_not_seen() -> None:
    """In a container NVML tells the pids of the host."""
    for launcher in (None, os.getpid()):
        assert "gpu:other" not in Gpus(Card(1, other=2), launcher=launcher).lines()


def test_what_hardly_moves_is_read_seldom() -> None:
    gpus = Gpus(Card(os.getpid()), launcher=os.getpid())
    read = ["gpu:processes" in gpus.lines() for _ in range(2 * SELDOM)]
    assert read == 2 * [True, *(SELDOM - 1) * [False]]


def test_critical_errors_are_counted_by_their_number() -> None:
    card = Card(os.getpid())
    gpus = Gpus(card)
    assert 'gpu:xid_errors_total{gpu="0",xid="79"} 1.0' in gpus.lines()
    card.xids = 2 * EVENTS * [79]
    assert f'gpu:xid_errors_total{{gpu="0",xid="79"}} {EVENTS + 1.0}' in gpus.lines()

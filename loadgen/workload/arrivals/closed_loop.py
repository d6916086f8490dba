"""Clients that wait for their answers."""

from typing import ClassVar, Literal

from pydantic import PositiveInt

from loadgen.workload.arrivals.process import PROCESSES, Process
from loadgen.workload.lengths import Lengths


@PROCESSES.register("closed-loop")
class ClosedLoop(Process):
    """`concurrency` clients; each waits for its answer, thinks (seconds, a distribution), and asks again."""

    process: Literal["closed-loop"] = "closed-loop"
    concurrency: PositiveInt = 16
    think: Lengths = Lengths(distribution="exponential", mean=1)
    takes_rate: ClassVar[bool] = False

    def require(self, rate: float | None, conversation: bool, dataset: bool) -> None:
        if rate is not None:
            raise ValueError("a closed loop has no rate: its clients' answers set the pace")
        if conversation or dataset:
            raise ValueError("a closed loop takes neither conversation nor dataset")

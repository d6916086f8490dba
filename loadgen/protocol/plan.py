"""What the master tells every worker before a run; it travels as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from common.usage import UsageError
from loadgen.workload.scenario import Scenario
from loadgen.workload.vocabulary import Vocabulary


@dataclass(frozen=True)
class Plan:
    """One run: enough, with the lane's number, to make a lane's load to the byte."""

    run: str
    scenario: dict[str, Any]
    seed: int
    digest: str  # of the schedule: a worker that comes to another one must not start
    lanes: int
    host: str
    model: str
    vllm: bool  # whether vLLM's own request fields may be sent
    vocabulary: dict[str, Any]
    verify: bool | str
    keep_text: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Plan":
        """Raises UsageError for a plan of another version."""
        try:
            return cls(**data)
        except TypeError:
            raise UsageError(
                "this worker does not know the master's plan: give both the same version of this project"
            ) from None

    def read_scenario(self) -> Scenario:
        return Scenario.from_dict(self.scenario)

    def read_vocabulary(self) -> Vocabulary:
        return Vocabulary.from_dict(self.vocabulary)

"""/v1/completions: a plain prompt in, a continuation out. Its chunks read as those of chats."""

from typing import Any

from loadgen.api.kind import EXTENSIONS, KINDS, Kind
from loadgen.workload.arrival import Arrival
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.vocabulary import Messages


@KINDS.register("completions")
class Completions(Kind):
    path = "/v1/completions"
    extensions = EXTENSIONS

    def body(
        self, prompts: PromptMaker, arrival: Arrival, history: Messages, scenario: Scenario
    ) -> dict[str, Any]:
        return {"prompt": prompts.text(arrival), "max_tokens": arrival.output_tokens, "temperature": 0}

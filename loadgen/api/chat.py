"""/v1/chat/completions: messages in, chunks of one out."""

from typing import Any

from loadgen.api.kind import EXTENSIONS, KINDS, Kind
from loadgen.workload.arrival import Arrival
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.vocabulary import Messages


@KINDS.register("chat")
class Chat(Kind):
    path = "/v1/chat/completions"
    extensions = EXTENSIONS
    turns = pictures = True

    def body(
        self, prompts: PromptMaker, arrival: Arrival, history: Messages, scenario: Scenario
    ) -> dict[str, Any]:
        messages: list[dict[str, Any]] = list(prompts.messages(arrival, history))
        self.illustrate(messages, prompts, arrival, scenario)
        return {"messages": messages, "max_tokens": arrival.output_tokens, "temperature": 0}

    def picture(self, url: str) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": url}}

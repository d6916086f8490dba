"""/v1/chat/completions: messages in, chunks of one out."""

from typing import Any

from loadgen.api.kind import EXTENSIONS, KINDS, Kind
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import Arrival
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
        if arrival.images:
            text = {"type": "text", "text": messages[-1]["content"]}
            urls = prompts.images(arrival, scenario)
            shown = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
            messages[-1] = {**messages[-1], "content": [*shown, text]}
        return {"messages": messages, "max_tokens": arrival.output_tokens, "temperature": 0}

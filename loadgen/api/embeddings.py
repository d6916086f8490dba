"""/v1/embeddings: a text in, its vector out."""

from typing import Any

from loadgen.api.kind import KINDS, Kind
from loadgen.api.whole import WholeAnswer
from loadgen.workload.arrival import Arrival
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.vocabulary import Messages


class Vectors(WholeAnswer):
    __slots__ = ()
    key = "data"


@KINDS.register("embeddings")
class Embeddings(Kind):
    path = "/v1/embeddings"
    reading = Vectors
    extensions = ("cache_salt",)
    length_field = None

    def body(
        self, prompts: PromptMaker, arrival: Arrival, history: Messages, scenario: Scenario
    ) -> dict[str, Any]:
        return {"input": prompts.text(arrival)}

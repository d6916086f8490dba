"""/v1/rerank: a query and documents in, a score of each out.

Each of the documents makes a prompt of the asked length, the query in it. The length of all is what the
server's usage says.
"""

from typing import Any

from common.usage import UsageError
from loadgen.api.kind import KINDS, Kind
from loadgen.api.whole import WholeAnswer
from loadgen.workload.arrival import Arrival
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.vocabulary import Messages

DOCUMENTS = 10  # where a scenario says no number
QUERY = 8  # words of the query


class Scores(WholeAnswer):
    __slots__ = ()
    key = "results"


@KINDS.register("rerank")
class Rerank(Kind):
    path = "/v1/rerank"
    reading = Scores
    extensions = ("cache_salt",)
    length_field = None
    exact = False
    documents = True

    def body(
        self, prompts: PromptMaker, arrival: Arrival, history: Messages, scenario: Scenario
    ) -> dict[str, Any]:
        if arrival.dialogue or arrival.blocks or arrival.prefix_tokens:
            raise UsageError(
                "rerank has neither prompts of a dataset nor a shared_prefix; lengths alone it takes"
            )
        wanted = scenario.request.documents if scenario.request else None
        query, documents = prompts.ranked(arrival, QUERY, wanted or DOCUMENTS)
        return {"query": query, "documents": documents}

"""No key of a scenario is silently without effect, for any kind of API: it changes a byte that is sent or the
moment, or it is refused, or the run says so before it begins."""

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import pytest
from locust.env import Environment

from common.places import ROOT
from common.strictyaml import Strict
from common.usage import UsageError
from loadgen.api import KINDS
from loadgen.api.kind import EXTENSIONS
from loadgen.client.client import Client
from loadgen.client.transport import Host
from loadgen.protocol.messages import Plan
from loadgen.user import OpenLoopUser
from loadgen.worker.lane import Lane
from loadgen.workload.arrivals import PROCESSES, Process
from loadgen.workload.lengths import Lengths
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import schedule
from loadgen.workload.vocabulary import estimate_vocabulary

Keys = dict[str, Any]
DATA = ROOT / "tests" / "data"
REFUSED = "refused"
FEW = 12  # arrivals whose requests are looked at
TALKED = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]

PLAIN: Keys = {"name": "s", "rate": 8, "duration": 1, "warmup": 0.5, "prompt_tokens": 40, "output_tokens": 5}
PREFIX: Keys = {"shared_prefix": {"tokens": 30, "groups": 50}}
MIX: Keys = {
    "prompt_tokens": None,
    "output_tokens": None,
    "workloads": {
        "a": {"share": 0.5, "prompt_tokens": 40, "output_tokens": 5},
        "b": {"share": 0.5, "prompt_tokens": 60, "output_tokens": 9},
    },
}
TALK: Keys = {"conversation": {"turns": 3, "think": 0.1, "system_tokens": 20}}
ROWS: Keys = {"prompt_tokens": None, "output_tokens": None, "rate": 2, "duration": 2, "warmup": 0}
AZURE = ROWS | {"dataset": {"format": "azure", "path": str(DATA / "azure.csv")}}
TEXTS = ROWS | {"rate": 8, "dataset": {"format": "sharegpt", "path": str(DATA / "sharegpt.json")}}
TRACE: Keys = ROWS | {"rate": None, "duration": 3.1, "arrivals": {"process": "trace"}}
BUNCHED = TRACE | {"dataset": {"format": "mooncake", "path": str(DATA / "mooncake.jsonl")}}
AGENTS = TRACE | {"duration": 7, "dataset": {"format": "otel", "path": str(DATA / "otel.jsonl")}}
CLOSED: Keys = {"rate": None, "arrivals": {"process": "closed-loop", "concurrency": 3, "think": 1}}
STEPS: Keys = {"arrivals": {"process": "stages", "stages": [{"rate": 5, "duration": 1}]}}
LORA: Keys = {"adapters": {"names": ["a", "b", "c"]}}
SEEN: Keys = {"images": {"width": 8, "height": 8}}
GIVEN_UP: Keys = {"cancel": {"share": 0.1, "after": 1}}
SHARES: Keys = {"adapters": {"shares": {"a": 0.5, "b": 0.5}}}

CASES: dict[str, tuple[Keys, Keys]] = {  # key: a load, and what is changed in it
    "rate": ({}, {"rate": 9}),
    "duration": ({}, {"duration": 2}),
    "warmup": ({}, {"warmup": 1}),
    "seed": ({}, {"seed": 2}),
    "prompt_tokens": ({}, {"prompt_tokens": 50}),
    "output_tokens": ({}, {"output_tokens": 6}),
    "shared_prefix": ({}, PREFIX),
    "shared_prefix.tokens": (PREFIX, {"shared_prefix": {"tokens": 31}}),
    "shared_prefix.hit_rate": ({}, {"shared_prefix": {"hit_rate": 0.5}}),
    "shared_prefix.groups": (PREFIX, {"shared_prefix": {"groups": 60}}),
    "shared_prefix.zipf": (PREFIX, {"shared_prefix": {"zipf": 10}}),
    "workloads": ({}, MIX),
    "workloads.share": (MIX, {"workloads": {"a": {"share": 0.1}, "b": {"share": 0.9}}}),
    "workloads.prompt_tokens": (MIX, {"workloads": {"a": {"prompt_tokens": 50}}}),
    "workloads.output_tokens": (MIX, {"workloads": {"a": {"output_tokens": 6}}}),
    "workloads.priority": (MIX, {"workloads": {"a": {"priority": 1}}}),
    "workloads.shared_prefix": (MIX, {"workloads": {"a": {"shared_prefix": {"tokens": 30}}}}),
    "conversation": ({}, TALK),
    "conversation.turns": (TALK, {"conversation": {"turns": 1}}),
    "conversation.think": (TALK, {"conversation": {"think": 0.2}}),
    "conversation.system_tokens": (TALK, {"conversation": {"system_tokens": 30}}),
    "dataset": ({}, AZURE),
    "dataset.format": (AZURE, {"dataset": {"format": "burstgpt"}}),
    "dataset.path": (AZURE, {"dataset": {"path": str(DATA / "traces" / "azure-2024-layout.csv")}}),
    "dataset.repeat": (TEXTS, {"dataset": {"repeat": True}}),
    "dataset.repeat of a trace": (BUNCHED, {"dataset": {"repeat": True}}),
    "dataset.max_tokens": (AZURE, {"dataset": {"max_tokens": 500}}),
    "dataset.spread": (BUNCHED, {"dataset": {"spread": True}}),
    "dataset.spread of no trace": (AZURE, {"dataset": {"spread": True}}),
    "dataset.sessions": (AGENTS, {"dataset": {"sessions": True}}),
    "dataset.sessions of no agents": (BUNCHED, {"dataset": {"sessions": True}}),
    "dataset.sha256": (AZURE, {"dataset": {"sha256": "0" * 64}}),
    "adapters": ({}, LORA),
    "adapters.names": (LORA, {"adapters": {"names": ["a", "b", "d"]}}),
    "adapters.zipf": (LORA, {"adapters": {"zipf": 10}}),
    "adapters.shares": (SHARES, {"adapters": {"shares": {"a": 0.1, "b": 0.9}}}),
    "images": ({}, SEEN),
    "images.width": (SEEN, {"images": {"width": 9}}),
    "images.height": (SEEN, {"images": {"height": 9}}),
    "images.count": (SEEN, {"images": {"count": 2}}),
    "images of rows without any": (AZURE, SEEN),
    "cancel": ({}, GIVEN_UP),
    "cancel.share": (GIVEN_UP, {"cancel": {"share": 1}}),
    "cancel.after": ({"cancel": {"share": 1, "after": 1}}, {"cancel": {"after": 2}}),
    "arrivals": ({}, {"arrivals": {"process": "constant"}}),
    "arrivals.closed-loop.concurrency": (CLOSED, {"arrivals": {"concurrency": 4}}),
    "arrivals.closed-loop.think": (CLOSED, {"arrivals": {"think": 2}}),
    "arrivals.gamma.burstiness": (
        {"arrivals": {"process": "gamma"}},
        {"arrivals": {"burstiness": 0.9}},
    ),
    "arrivals.hawkes.branching": ({"arrivals": {"process": "hawkes"}}, {"arrivals": {"branching": 0.9}}),
    "arrivals.hawkes.decay": ({"arrivals": {"process": "hawkes"}}, {"arrivals": {"decay": 9}}),
    "arrivals.stages.stages": (STEPS, {"arrivals": {"stages": [{"rate": 5, "to": 9, "duration": 1}]}}),
    "arrivals.stages.spacing": (STEPS, {"arrivals": {"spacing": "constant"}}),
    "request": ({}, {"request": {"endpoint": "/v1/x"}}),
    "request.api": ({"request": {"api": "chat"}}, {"request": {"api": "completions"}}),
    "request.endpoint": ({"request": {"endpoint": "/v1/x"}}, {"request": {"endpoint": "/v1/y"}}),
    "request.extra_body": ({}, {"request": {"extra_body": {"min_p": 0.1}}}),
    "request.temperature": ({}, {"request": {"temperature": 0.5}}),
    "request.top_p": ({}, {"request": {"top_p": 0.5}}),
    "request.ignore_eos": ({}, {"request": {"ignore_eos": False}}),
    "request.max_tokens_field": ({}, {"request": {"max_tokens_field": "max_completion_tokens"}}),
    "request.documents": ({}, {"request": {"documents": 3}}),
}
# Not of what is sent or when: how long answers are waited for, what is judged, how it is called. What each
# does has tests of its own (lane, verdict, records).
ELSEWHERE = {"name", "drain", "timeout", "max_concurrency", "slo", *(f"slo.{each}" for each in (
    "ttft", "tpot", "latency", "share"))}  # fmt: skip
SAID = {  # before the run, by loadgen.master.preflight
    *(
        (kind, key)
        for kind in ("embeddings", "rerank")
        for key in ("output_tokens", "workloads.output_tokens")
    ),
    ("messages", "request.ignore_eos"),
}


def changed(keys: Keys, change: Keys) -> Keys:
    """The keys with some changed, deeply; None takes one out."""
    found = dict(keys)
    for name, value in change.items():
        own = found.get(name)
        whole = name == "shares" or not (isinstance(value, dict) and isinstance(own, dict))
        found[name] = value if whole else changed(own or {}, value)
    return {name: value for name, value in found.items() if value is not None}


@cache
def user() -> OpenLoopUser:
    return type("Chat", (OpenLoopUser,), {})(Environment())


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    made = Client(Host.resolve("http://127.0.0.1:9"))
    yield made
    made.close()


def sent(client: Client, keys: Keys) -> tuple[Any, ...]:
    """Where the first requests go, what they hold and when they are sent and given up; or the refusal."""
    try:
        scenario = Scenario.from_dict(keys)
        load = schedule(scenario, scenario.seed)
        plan = Plan(
            run="r", scenario={}, seed=scenario.seed, checksum="", lanes=1, host="", model="m", vllm=True,
            extensions=list(EXTENSIONS), vocabulary=estimate_vocabulary().to_dict(), verify=True,
            keep_text=False, with_key=True, headers=[],
        )  # fmt: skip
        lane = Lane(Environment(), plan, 0, client, load)
        lane.first_request(user())
        first = list(load.arrivals)[:FEW]
        later = [each for each in map(load.next_in_chain, first) if each is not None]
        bodies = [lane._body(each, TALKED if each in later else []) for each in (*first, *later)]
        times = [(each.due, each.think, each.cancel_after) for each in (*load.arrivals, *later)]
        return lane._path(), bodies, times
    except UsageError as error:
        return REFUSED, str(error)


def named(model: type[Strict], before: str = "") -> Iterator[str]:
    """Each key of a scenario, with those within it."""
    for name, field in model.model_fields.items():
        yield before + name
        for each in strict_types(field.annotation):
            yield from named(each, f"{before}{name}.")


def strict_types(annotation: Any) -> Iterator[type[Strict]]:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        if not issubclass(annotation, Lengths | Process):
            yield annotation
        return
    for part in get_args(annotation):
        yield from strict_types(part)


def test_the_table_has_every_key_of_a_scenario() -> None:
    keys = set(named(Scenario))
    keys -= {each for each in keys if each.startswith("workloads.shared_prefix.")}  # as without workloads
    for name, process in PROCESSES.items():
        keys |= {f"arrivals.{name}.{field}" for field in process.model_fields if field != "process"}
    assert {key for key in CASES if " " not in key} | ELSEWHERE == keys


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_changes_what_is_sent_or_is_refused_or_said(kind: str, client: Client) -> None:
    silent = []
    for key, (load, change) in CASES.items():
        before = changed(changed(PLAIN, {"request": {"api": kind}}), load)
        found = sent(client, changed(before, change))
        if found == sent(client, before) and found[0] != REFUSED:
            silent.append((kind, key))
    assert set(silent) == {each for each in SAID if each[0] == kind}

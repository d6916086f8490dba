"""One request as the load would send it, shown before there is any run."""

import json

from locust.env import Environment

from common.redact import HIDDEN
from loadgen.client.client import Client
from loadgen.client.http1 import request_bytes, request_head
from loadgen.client.transport import Host
from loadgen.protocol.messages import Plan
from loadgen.protocol.settings import request_headers, settings_of
from loadgen.worker.lane import Lane
from loadgen.workload.schedule import schedule
from loadgen.workload.tokenizer import LocalTokenizer
from loadgen.workload.vocabulary import build_vocabulary, estimate_vocabulary

MODEL = "the-served-model"  # where none is named: nobody has asked the server


def request(environment: Environment) -> str:
    """The first arrival's request in full, by the first user class. Asks no server but for the host's name.

    The prompt's words are those of an estimated vocabulary, unless there is --tokenizer. Raises UsageError.
    """
    settings = settings_of(vars(environment.parsed_options), environment.host)
    load = schedule(settings.scenario, settings.seed)
    host, headers = Host.resolve(settings.host), request_headers()
    vocabulary = estimate_vocabulary()
    if settings.tokenizer is not None:
        local = LocalTokenizer(settings.tokenizer)
        vocabulary = build_vocabulary(local.count_tokens, local.tokenize_words, local.has_chat_template)
    plan = Plan(
        run="RUN",
        scenario=settings.scenario.to_dict(),
        seed=settings.seed,
        digest=load.digest(),
        lanes=1,
        host=settings.host,
        model=settings.model or MODEL,
        vllm=True,
        vocabulary=vocabulary.to_dict(),
        verify=settings.verify,
        keep_text=False,
        with_key=True,
        headers=list(headers),
    )
    lane = Lane(environment, plan, 0, Client(host, verify=settings.verify))
    path, body = lane.first_request(environment.user_classes[0](environment))
    shown = request_head(host.authority, dict.fromkeys(headers, HIDDEN))
    head = request_bytes(host.target(path), shown, f"{plan.run}-0", body).removesuffix(body).decode()
    return head.replace("\r\n", "\n") + json.dumps(json.loads(body), indent=2, ensure_ascii=False)

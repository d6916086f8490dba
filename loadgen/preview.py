"""One request as the load would send it, shown before there is any run."""

import json
from collections.abc import Sequence
from dataclasses import replace

from locust.env import Environment

from common.redact import HIDDEN
from common.usage import UsageError
from loadgen.api.kind import EXTENSIONS, Kind
from loadgen.client.client import Client
from loadgen.client.http1 import request_bytes, request_head
from loadgen.client.transport import Host
from loadgen.master.preflight import Make
from loadgen.protocol.messages import Plan
from loadgen.protocol.settings import request_headers, settings_of
from loadgen.worker.lane import Lane
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.schedule import Schedule, schedule
from loadgen.workload.tokenizer import LocalTokenizer
from loadgen.workload.vocabulary import estimate_vocabulary

MODEL = "the-served-model"  # where none is named: nobody has asked the server


def first_request(environment: Environment, plan: Plan, load: Schedule, client: Client, words: int) -> Make:
    """What gives the first arrival's request by the first user class, with the extensions that are wanted.

    load: the plan's schedule. words: the prompt's seed. It raises UsageError where the user class fails.
    """
    lane = Lane(environment, plan, 0, client, load)
    lane.prompts = PromptMaker(plan.read_vocabulary(), words, load.scenario)

    def make(extensions: Sequence[str]) -> tuple[Kind, str, bytes]:
        lane.plan = replace(plan, extensions=list(extensions))
        try:
            path, body = lane.first_request(environment.user_classes[0](environment))
            return lane.kind, path, body
        except UsageError:
            raise
        except Exception as error:  # of a user class
            raise UsageError(f"the first request cannot be made: {type(error).__name__}: {error}") from None

    return make


def request(environment: Environment) -> str:
    """The first arrival's request in full, by the first user class. Asks no server but for the host's name.

    The prompt's words are those of an estimated vocabulary, unless there is --tokenizer. Raises UsageError.
    """
    settings = settings_of(vars(environment.parsed_options), environment.host)
    load = schedule(settings.scenario, settings.seed)
    host, headers = Host.resolve(settings.host), request_headers()
    tokenizer = settings.tokenizer
    vocabulary = LocalTokenizer(tokenizer).vocabulary() if tokenizer else estimate_vocabulary()
    plan = Plan(
        run="RUN",
        scenario=settings.scenario.to_dict(),
        seed=settings.seed,
        checksum=load.checksum,
        lanes=1,
        host=settings.host,
        model=settings.model or MODEL,
        vllm=True,
        extensions=list(EXTENSIONS),
        vocabulary=vocabulary.to_dict(),
        verify=settings.verify,
        keep_text=False,
        with_key=True,
        headers=list(headers),
    )
    client = Client(host, verify=settings.verify)
    _, path, body = first_request(environment, plan, load, client, plan.seed)(EXTENSIONS)
    client.close()
    shown = request_head(host.authority, dict.fromkeys(headers, HIDDEN))
    head = request_bytes(host.target(path), shown, f"{plan.run}-0", body).removesuffix(body).decode()
    return head.replace("\r\n", "\n") + json.dumps(json.loads(body), indent=2, ensure_ascii=False)

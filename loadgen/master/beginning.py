"""How a run comes about: from what was asked to a run that can be handed out."""

from collections.abc import Callable, Mapping
from typing import Any

from common.usage import UsageError
from loadgen.client.transport import Host
from loadgen.master import manifest
from loadgen.master.gpu import Gpus
from loadgen.master.run import Run, Send
from loadgen.master.scrape import Scraper
from loadgen.master.server_info import Served, Server, names_proxy
from loadgen.protocol.messages import Plan
from loadgen.protocol.settings import KEY_WITHHELD, Settings, Subject, key_withheld, request_headers
from loadgen.workload.context_limit import require_room
from loadgen.workload.schedule import Schedule, schedule


def begin(
    settings: Settings,
    find_workers: Callable[[], list[str]],
    send: Send,
    say: Callable[[str], None],
) -> Run:
    """Reach the server, make the schedule, claim a folder; nothing has been sent to a worker yet.

    `find_workers`: waits for those that take part. Raises UsageError.
    """
    server, served = reach(settings)
    load = schedule(settings.scenario, settings.seed)
    if not load.arrivals:
        raise UsageError(
            f"scenario {settings.scenario.name} comes to no arrival at all: raise the rate or the duration"
        )
    require_room(load, served.max_model_len)
    workers = find_workers()
    vocabulary = server.vocabulary(served.model, settings.tokenizer)
    if vocabulary.how == "estimate":
        say("the server has no /tokenize: prompt lengths are estimated (--tokenizer DIR makes them exact)")
    if names_proxy(settings.host):
        say("the environment's proxy is not used: the load goes straight to the host")
    subject = Subject.of_environment()
    for remark in load.remarks:
        say(remark)
    if key_withheld(settings.with_key):
        say(f"{KEY_WITHHELD}: {settings.host}")
    folder = manifest.make_folder(subject)
    say(_summary(load, settings, served, len(workers)))
    plan = Plan(
        run=folder.name,
        scenario=settings.scenario.to_dict(),
        seed=settings.seed,
        digest=load.digest(),
        lanes=len(workers),
        host=settings.host,
        model=served.model,
        vllm=served.vllm_version is not None,
        vocabulary=vocabulary.to_dict(),
        verify=settings.verify,
        keep_text=settings.keep_text,
        with_key=settings.with_key,
    )
    draft = manifest.draft(folder, subject, load, served, settings.host, vocabulary, len(workers))
    gpus = Gpus() if _on_our_gpu(draft["server"]) else None
    return Run(folder, load, plan, draft, workers, lambda now: Scraper(server, now, gpus), send)


def _on_our_gpu(server: Mapping[str, Any] | None) -> bool:
    """Whether the launcher beside us started the server, on a GPU."""
    return server is not None and (server.get("hardware") or {}).get("kind") == "gpu"


def reach(settings: Settings) -> tuple[Server, Served]:
    """The server and what it serves. Raises UsageError where it does not answer, or lacks the model."""
    Host.resolve(settings.host)
    server = Server(settings.host, request_headers(settings.with_key), settings.verify)
    return server, server.describe(settings.model)


def _summary(load: Schedule, settings: Settings, served: Served, workers: int) -> str:
    """What is about to happen, in one line."""
    scenario = settings.scenario
    rate = f"{scenario.mean_rate:g}/s" if scenario.mean_rate else "its own pace"
    return (
        f"{scenario.name}: {len(load.arrivals)} arrivals ({scenario.arrivals.process}, {rate}) over "
        f"{scenario.warmup:g} + {scenario.duration:g} s, drain up to {scenario.drain:g} s, "
        f"seed {settings.seed}, {workers} worker{'s' if workers > 1 else ''}, "
        f"model {served.model} at {settings.host}"
    )

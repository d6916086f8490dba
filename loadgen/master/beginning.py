"""How a run comes about: from what was asked to a run that can be handed out."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from common.usage import UsageError
from loadgen.api.kind import EXTENSIONS
from loadgen.client.client import Client
from loadgen.client.transport import Host
from loadgen.master import manifest
from loadgen.master.gpu import Gpus
from loadgen.master.machines import SWITCH, Machines
from loadgen.master.partner import Partner
from loadgen.master.preflight import NAME, Make, Preflight, preflight
from loadgen.master.run import Run, Send, Workers
from loadgen.master.scrape import Scraper
from loadgen.master.server_info import Served, Server, names_proxy
from loadgen.protocol.messages import Plan
from loadgen.protocol.settings import KEY_WITHHELD, Settings, Subject, key_withheld, request_headers
from loadgen.workload.context_limit import require_room
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import Schedule, require_arrivals, schedule

FirstRequest = Callable[[Plan, Schedule, Client, int], Make]  # the last: the prompt's seed


def begin(
    settings: Settings,
    find_workers: Callable[[], Workers],
    send: Send,
    say: Callable[[str], None],
    first_request: FirstRequest,
) -> Run:
    """Reach the server, make the schedule, claim a folder; nothing has been sent to a worker yet.

    `find_workers`: waits for those that take part. Raises UsageError.
    """
    server, served = reach(settings)
    load = schedule(settings.scenario, settings.seed)
    require_arrivals(load)
    require_room(load, served.max_model_len)
    workers = find_workers()
    _require_share(settings.scenario, len(workers))
    vocabulary = server.vocabulary(served.model, settings.tokenizer)
    if vocabulary.how == "estimate":
        say("the server has no /tokenize: prompt lengths are estimated (--tokenizer DIR makes them exact)")
    if names_proxy(settings.host):
        say("the environment's proxy is not used: the load goes straight to the host")
    subject = Subject.of_environment()
    if subject.workers_why:
        say(subject.workers_why)
    if served.between:
        say(f"between us and the server: {served.between}")
    for remark in (*load.remarks, *_unlisted_adapters(settings.scenario, served)):
        say(remark)
    if key_withheld(settings.with_key):
        say(f"{KEY_WITHHELD}: {settings.host}")
    plan = Plan(
        run=NAME,
        scenario=settings.scenario.to_dict(),
        seed=settings.seed,
        checksum=load.checksum,
        lanes=len(workers),
        host=settings.host,
        direct=settings.direct,
        model=served.model,
        vllm=served.vllm_version is not None,
        extensions=list(EXTENSIONS if served.vllm_version is not None else EXTENSIONS[:1]),
        vocabulary=vocabulary.to_dict(),
        verify=settings.verify,
        keep_text=settings.keep_text,
        with_key=settings.with_key,
        headers=list(request_headers(settings.with_key)),
    )
    tried = _try(settings.host, plan, load, settings, served.unlisted, say, first_request)
    if settings.direct:
        _try(settings.direct, plan, load, settings, "", say, first_request)
    folder = manifest.make_folder(subject)
    plan = replace(plan, run=folder.name, extensions=tried.extensions)
    say(_summary(load, settings, served, len(workers)))
    draft = manifest.draft(folder, subject, load, served, settings.host, vocabulary, len(workers))
    draft |= {"request_headers": plan.headers, "metrics_hosts": list(settings.metrics_hosts)}
    draft |= {"direct": settings.direct}
    draft |= {"between": served.between, "workers_why": subject.workers_why}
    draft |= {"extensions": tried.extensions, "usage": tried.usage}
    draft |= {"labels": settings.labels, "note": settings.note}
    gpus = _gpus(draft["server"])
    scraper = partial(Scraper, server, gpus=gpus)
    addresses = [settings.host, *settings.metrics_hosts, *([settings.direct] if settings.direct else [])]
    machines = Machines(*map(Host.resolve, addresses))
    return Run(
        folder,
        load,
        plan,
        draft,
        workers,
        scraper,
        send,
        machines,
        keep_going=settings.keep_going,
        stop_when_saturated=settings.stop_when_saturated,
        beside=Partner.of_environment(),
    )


def _try(
    host: str,
    plan: Plan,
    load: Schedule,
    settings: Settings,
    unlisted: str,
    say: Callable[[str], None],
    first_request: FirstRequest,
) -> Preflight:
    """What the server makes of one request, whose prompt is none of the run's. Raises UsageError."""
    if unlisted:
        say(unlisted)
    headers = request_headers(settings.with_key)
    client = Client(Host.resolve(host), headers=headers, verify=settings.verify)
    salt = replace(plan, run=f"{NAME}-{time.time_ns()}")
    try:
        make = first_request(salt, load, client, plan.seed + 1)
        tried = preflight(client, make, settings.scenario.request)
    except UsageError as error:
        if not settings.keep_going:
            raise UsageError(f"{host}: {error}{f'; {unlisted}' if unlisted else ''}") from None
        say(f"{error}")
        return Preflight(plan.extensions, [], "unknown")
    finally:
        client.close()
    for remark in tried.remarks:
        say(remark)
    return tried


def _require_share(scenario: Scenario, workers: int) -> None:
    """Raise UsageError for a cap that leaves a worker nothing."""
    if scenario.max_concurrency is not None and scenario.max_concurrency < workers:
        raise UsageError(
            f"max_concurrency {scenario.max_concurrency} leaves some of {workers} workers nothing to send: "
            "take fewer workers"
        )


def _unlisted_adapters(scenario: Scenario, served: Served) -> list[str]:
    """A remark where the server does not list an adapter: its share may fail."""
    wanted = scenario.adapters.weights if scenario.adapters and served.listed else {}
    missing = [name for name in wanted if name not in served.listed]
    if not missing:
        return []
    return [f"the server lists no model {missing[0]!r}, one of {len(missing)} adapters that it lacks"]


def _gpus(server: Mapping[str, Any] | None) -> Gpus | None:
    """Those of this machine, where the launcher beside us started the server on one, and all is watched."""
    on_gpu = server is not None and (server.get("hardware") or {}).get("kind") == "gpu"
    if server is None or not on_gpu or os.environ.get(SWITCH) == "0":
        return None
    return Gpus(launcher=(server.get("launcher") or {}).get("pid"))


def reach(settings: Settings) -> tuple[Server, Served]:
    """The server and what it serves. Raises UsageError where it does not answer, or lacks the model."""
    Host.resolve(settings.host)
    for each in [*settings.metrics_hosts, *([settings.direct] if settings.direct else [])]:
        Host.resolve(each)
    headers = request_headers(settings.with_key)
    server = Server(settings.host, headers, settings.verify, settings.metrics_hosts)
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

"""How Locust's `--otel` reaches its collector: over HTTP, metrics from the master alone, bounded at the end.

Nothing of OpenTelemetry is imported before it is needed: it is not there where nobody uses --otel.
"""

import atexit
import contextlib
import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import WorkerRunner

from common.usage import UsageError

PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
SIGNALS = ("TRACES", "METRICS", "LOGS")
END_WITHIN = 5.0  # s that a process that ends waits for a collector to take what is left

logger = logging.getLogger(__name__)


def choose_protocol(environ: MutableMapping[str, str]) -> None:
    """Take HTTP where the environment names no protocol; Locust would take gRPC.

    Raises UsageError for gRPC: its C core waits without letting Locust's event loop go on, so a collector
    that is slow or silent would hold up every request.
    """
    if not environ.get(PROTOCOL):
        environ[PROTOCOL] = "http/protobuf"
    for signal in SIGNALS:
        name = _protocol_variable(environ, signal)
        if _goes_to_collector(environ, signal) and environ[name].strip().lower() == "grpc":
            raise UsageError(
                f"--otel: {name}=grpc: over gRPC a slow collector holds up the requests; set it to "
                "http/protobuf (the collector's port for that is usually 4318)"
            )


def attend(environment: Environment) -> None:
    """Have the process end in time; of a worker, keep Locust from exporting metrics beside the master's."""
    if isinstance(environment.runner, WorkerRunner):
        _record_no_requests(environment)
    providers = _providers()
    for provider in providers.values():
        # It would wait up to 30 s; and a thread that a fork has made, as OpenTelemetry's in a worker are,
        # cannot end without a traceback from gevent.
        atexit.unregister(provider.shutdown)
    atexit.register(_finish, providers)


def _record_no_requests(environment: Environment) -> None:
    """Locust records its requests where they are made, and exports what is recorded."""
    hook = environment.events.request
    for listener in list(hook._handlers):
        if listener.__module__ == "locust.opentelemetry":
            hook.remove_listener(listener)


def _finish(providers: Mapping[str, Any]) -> None:
    """Export what is left, at once for all signals."""
    flushing = {name: gevent.spawn(provider.force_flush) for name, provider in providers.items()}
    gevent.joinall(list(flushing.values()), timeout=END_WITHIN)
    late = [name for name, greenlet in flushing.items() if not greenlet.ready()]
    if late:
        what = " and ".join(late)
        logger.warning(
            "--otel: the last %s are lost: the collector did not take them in %g s", what, END_WITHIN
        )


def _providers() -> dict[str, Any]:
    """What Locust has set up, by signal."""
    with contextlib.suppress(ImportError):
        from opentelemetry import _logs, metrics, trace

        found = {
            "metrics": metrics.get_meter_provider(),
            "traces": trace.get_tracer_provider(),
            "logs": _logs.get_logger_provider(),
        }
        return {name: each for name, each in found.items() if hasattr(each, "force_flush")}
    return {}


def _protocol_variable(environ: Mapping[str, str], signal: str) -> str:
    own = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"
    return own if own in environ else PROTOCOL


def _goes_to_collector(environ: Mapping[str, str], signal: str) -> bool:
    exporters = environ.get(f"OTEL_{signal}_EXPORTER", "otlp")
    return "otlp" in [each.strip().lower() for each in exporters.split(",")]

"""The live metrics of this session's runs, for Prometheus: in the web UI and on a port of their own.

The last run stays to be seen until the next one begins. Where the master ends with its run (headless), it
waits for one more scrape first, so that the run's last numbers are not lost; nobody who never scraped is
waited for.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
from flask import Response
from gevent.pywsgi import WSGIServer
from locust.env import Environment
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest, make_wsgi_app

from common import terminal
from common.usage import USAGE, UsageError
from common.web_guard import WebGuard
from loadgen.api import path_of
from loadgen.live.histogram import Histogram
from loadgen.live.instruments import INSTRUMENTS
from loadgen.master.conductor import Conductor
from loadgen.protocol import events
from loadgen.protocol.settings import Subject
from loadgen.telemetry.series import Observation, Observed

PATH = "/metrics"
LOOPBACK = "127.0.0.1"
LONGEST = 60.0  # s between two scrapes, at most, for the last one to be waited for

logger = logging.getLogger(__name__)


class Export:
    """One per process that directs. A port that cannot be had ends the process with exit code 2."""

    def __init__(self, environment: Environment, conductor: Conductor) -> None:
        self._environment, self._conductor = environment, conductor
        self._observed: Observed | None = None
        self._scrapes: list[float] = []  # the last two, on time.monotonic()
        self._judged = 0.0  # when the last verdict came, likewise
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._server: WSGIServer | None = None
        self._closed = False
        events.run_finished.add_listener(self._on_run_finished)
        environment.events.quitting.add_listener(self._on_quitting)
        if environment.web_ui is not None:
            self._serve_in_web_ui()
        try:
            if environment.parsed_options.metrics_port:
                self._serve_at(*address_of(environment.parsed_options.metrics_port))
            if environment.parsed_options.otel:
                self._hand_to_otel()
        except UsageError as error:
            terminal.say(f"tokenswarm: {error}")
            sys.exit(USAGE)

    def observed(self) -> Observed | None:
        """The run that goes on, or the last one."""
        run = self._conductor.latest
        if run is not None and (self._observed is None or self._observed.run is not run):
            request = run.schedule.scenario.request
            asked = (request.api, request.endpoint) if request else (None, None)
            paths = [path_of(each, *asked) for each in self._environment.user_classes]
            self._observed = Observed(run, Subject.of_environment(), paths)
        return self._observed

    def describe(self) -> list[Metric]:
        """Nothing: what there is comes with a run."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metric families of a scrape (a prometheus_client collector)."""
        self._scrapes = [*self._scrapes[-1:], time.monotonic()]
        observed = self.observed()
        families = {each: Metric(each.prometheus, each.text, each.kind) for each in INSTRUMENTS if observed}
        for each in observed.observations() if observed else ():
            _add(families[each.instrument], each)
        yield from (family for family in families.values() if family.samples)

    def close(self) -> None:
        """Serve no more. A second call, as by a signal while Locust quits, changes nothing."""
        if not self._closed:
            self._closed = True
            events.run_finished.remove_listener(self._on_run_finished)
        if self._server is not None:
            self._server.stop(timeout=1)
            self._server = None

    def _serve_in_web_ui(self) -> None:
        web_ui = self._environment.web_ui

        @web_ui.app.route(PATH)
        @web_ui.auth_required_if_enabled
        def metrics() -> Response:
            return Response(generate_latest(self._registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    def _serve_at(self, host: str, port: int) -> None:
        allowed = self._environment.parsed_options.web_allowed_host.split(",")
        guarded = WebGuard(make_wsgi_app(self._registry), host, allowed)
        self._server = WSGIServer((host, port), guarded, log=None)
        try:
            self._server.start()
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise UsageError(f"--metrics-port {host}:{port}: cannot listen there: {why}") from None
        logger.info("metrics at http://%s:%s%s", host, port, PATH)

    def _hand_to_otel(self) -> None:
        try:  # only here: these packages are not there where nobody uses --otel
            from loadgen.telemetry.opentelemetry import OtelExport
        except ImportError:
            raise UsageError("--otel: OpenTelemetry is not installed; pip install 'locust[otel]'") from None
        OtelExport(self.observed)

    def _on_run_finished(self, environment: Environment, folder: Path, verdict: str, **_: Any) -> None:
        if environment is self._environment and (observed := self.observed()):
            observed.verdict, self._judged = verdict, time.monotonic()

    def _on_quitting(self, **_: Any) -> None:
        """Wait for whoever scrapes the run to see its end."""
        if self._judged and len(self._scrapes) == 2:
            before, last = self._scrapes
            deadline = last + min(1.5 * (last - before), LONGEST) + 1.0
            while self._scrapes[-1] < self._judged and time.monotonic() < deadline:
                gevent.sleep(0.05)
        self.close()


def address_of(text: str) -> tuple[str, int]:
    """The host and port of `[HOST:]PORT`. Raises UsageError."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"--metrics-port: must be a port from 1 to 65535 or HOST:PORT, is {text!r}")
    return host.strip("[]") or LOOPBACK, int(port)


def _add(family: Metric, seen: Observation) -> None:
    """Add an observation's samples, as Prometheus names them."""
    labels = {name.replace(".", "_"): str(value) for name, value in seen.attributes.items()}
    if not isinstance(seen.value, Histogram):
        suffix = "_total" if family.type == "counter" else ""
        family.add_sample(family.name + suffix, labels, seen.value)
        return
    for bound, count in seen.value.cumulative():
        text = "+Inf" if bound == float("inf") else repr(bound)
        family.add_sample(f"{family.name}_bucket", labels | {"le": text}, count)
    family.add_sample(f"{family.name}_count", labels, seen.value.count)
    family.add_sample(f"{family.name}_sum", labels, seen.value.sum)

"""The load's options on Locust's command line and in its web UI; loadgen.protocol.settings checks them."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from locust.argument_parser import LocustArgumentParser

from common.ports import free_port, is_free
from common.usage import UsageError
from loadgen.api import KINDS
from loadgen.protocol import access
from loadgen.protocol.load_options import LOAD_OPTIONS
from loadgen.protocol.settings import DEFAULT_SCENARIO, keep_headers
from loadgen.telemetry import otlp
from loadgen.workload.arrivals import PROCESSES
from loadgen.workload.scenario import list_scenarios

MASTER_PORT = 5557  # Locust's own


class _Suggested(list[str]):
    """Names that the web UI offers as a list. Others (a file's path) are let through, to be checked later,
    and offered from then on: a form that lacked the one given would start another."""

    def __contains__(self, name: object) -> bool:
        if not super().__contains__(name):
            self.append(str(name))
        return True


def add_arguments(parser: LocustArgumentParser) -> None:
    """Add the options to Locust's parser; those that make sense there show in the web UI, too."""
    parser.add_argument(
        "--scenario",
        default=DEFAULT_SCENARIO,
        choices=_Suggested(list_scenarios()),
        metavar="NAME",
        help="a name in scenarios/, or a YAML file",
    )
    more: dict[str, Any] = {
        "arrivals": {"choices": _Suggested(["", *PROCESSES]), "default": ""},
        "api": {"choices": _Suggested(["", *KINDS]), "default": ""},
    }
    for each in LOAD_OPTIONS:
        parser.add_argument(
            each.flag, help=each.text, include_in_web_ui=each.asked, **each.kind, **more.get(each.name, {})
        )
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="'K: V'",
        help="a header of each request; its value is kept nowhere",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--allow",
        default="",
        metavar="V,…",
        help="exit 0 for these verdicts too: too-short, saturated, client-limited, disturbed",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="the token that master and workers of several hosts share, else from $TOKENSWARM_TOKEN "
        "(docs/distribute.md)",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--help-all",
        action="help",
        help="show this list: Locust's own --help comes before it reads the locustfile, so without these",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--web-allowed-host",
        default="",
        metavar="NAME,…",
        env_var="LOCUST_WEB_ALLOWED_HOST",
        help="names of the web UI, and of --metrics-port, beside the one that it listens on",
        include_in_web_ui=False,
    )


def adapt(parser: LocustArgumentParser, words: Sequence[str]) -> None:
    """Change Locust's own defaults for what is asked, here or in locust.conf. Raises UsageError for a port
    that is taken: of Locust it would get a traceback, after its workers have been made; and for a way to a
    collector that would disturb the run."""
    asked, _ = parser.parse_known_args(list(words))
    keep_headers(asked.header)
    if asked.otel:
        otlp.choose_protocol(os.environ)
    makes_workers = bool(asked.processes) and not asked.worker
    parser.set_defaults(own_master=makes_workers)
    if makes_workers:  # they are all of this host
        parser.set_defaults(master_bind_host="127.0.0.1")
    usual = asked.master_port == asked.master_bind_port == MASTER_PORT
    if makes_workers and usual:
        # Master and workers of --processes meet on a port of their own: on Locust's usual one a second run's
        # workers would join the first run's master.
        port = free_port()
        parser.set_defaults(master_port=port, master_bind_port=port)
    elif (makes_workers or asked.master) and not _was_free(asked.master_bind_port):
        at = asked.master_bind_port
        raise UsageError(f"port {at}, where workers are to join, is taken: give --master-bind-port")
    if not asked.web_host:  # whoever reaches the page can start loads
        parser.set_defaults(web_host="127.0.0.1")
    # A run in a terminal tells its own story; Locust's log of it would bury the one line that matters.
    # A master of other hosts keeps it: who has joined stands there.
    if asked.headless and not (asked.master or asked.worker):
        parser.set_defaults(loglevel="WARNING")


def take_run_time(asked: Any) -> None:
    """Locust's own -t is the duration, where no --duration is given. Its timer would cut the drain, and is
    not set."""
    if asked.run_time and not asked.duration:
        asked.duration = str(asked.run_time)
    asked.run_time = None


def token_of(parser: LocustArgumentParser, words: Sequence[str]) -> str | None:
    """What master and workers know each other by; None where a run has no connection between processes.

    Raises UsageError where there is none to be had.
    """
    asked, _ = parser.parse_known_args(list(words))
    if asked.processes and not asked.worker:
        return _own_token()
    if not (asked.master or asked.worker):
        return None
    return access.find_token(asked.master, Path(asked.token_file) if asked.token_file else None)


@cache
def _own_token() -> str:
    """Of a master that makes its workers itself: they are forked, so nobody else has to be told."""
    return access.make_token()


@cache
def _was_free(port: int) -> bool:
    """When first asked: Locust makes its parser anew for the web UI, and by then our master has the port."""
    return is_free(port)

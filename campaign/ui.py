"""Locust's web UI with a server of the chosen variant behind it."""

import socket
from argparse import ArgumentParser, Namespace

from campaign import load
from common.terminal import say
from common.usage import UsageError, whole

WEB_PORT = 8089


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of ui."""
    parser.add_argument("variant", metavar="VARIANT", help="what is served")
    parser.add_argument(
        "--web-port", type=whole, default=WEB_PORT, metavar="PORT", help=f"of the page (default: {WEB_PORT})"
    )
    parser.add_argument(
        "--web-host", default="127.0.0.1", metavar="HOST", help="its address (default: this machine only)"
    )
    parser.add_argument("--web-allowed-host", metavar="H", help="more names of the page: a proxy's")
    load.add_arguments(parser)


def run(given: Namespace) -> int:
    """Serve the page until Ctrl-C; the first drains and keeps a run that is under way. Exit code 0 then."""
    wanted = load.load_of(given)
    wanted.check([given.variant])
    _require_free(given.web_host, given.web_port)
    command = wanted.command(headless=False)
    command += ["--web-host", given.web_host, "--web-port", str(given.web_port)]
    command += ["--web-allowed-host", given.web_allowed_host] if given.web_allowed_host else []
    say(f"the page will be at http://{given.web_host}:{given.web_port}; Ctrl-C ends the run, then the page")
    code = load.serve(wanted, given.variant, command)
    return 0 if code in load.INTERRUPTED or code in load.VERDICTS else code


def _require_free(host: str, port: int) -> None:
    """Raise UsageError when the page's address is taken, before a server is started for it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"--web-port {port}: {host}:{port} cannot be used: {reason}; choose another"
            ) from None

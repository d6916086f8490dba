"""`tokenswarm master`: waits for workers of other hosts, then loads a server that runs already."""

import os
from argparse import ArgumentParser, Namespace

from campaign import load
from common.usage import UsageError, whole
from tokenswarm.commands.worker import add_token_file, become_locust, token_words


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "variant", nargs="?", default="baseline", metavar="VARIANT", help="what the run calls it"
    )
    parser.add_argument("--host", required=True, metavar="URL", help="the server")
    parser.add_argument("--workers", type=whole, default=1, metavar="N", help="processes to wait for")
    add_token_file(parser)
    load.add_load_arguments(parser)
    parser.set_defaults(target="auto", port=None, master_port=None)  # of a server that is launched; none is


def run(given: Namespace) -> int:
    """Become Locust's master."""
    wanted = load.load_of(given)
    wanted.resolved()
    if given.workers < 1:
        raise UsageError(f"--workers {given.workers}: must be 1 or more")
    words = ["--headless", "--master", "--expect-workers", str(given.workers), "--host", given.host]
    os.environ["TOKENSWARM_VARIANT"] = given.variant
    return become_locust(wanted.locustfile, [*words, *token_words(given), *wanted.load_words(), *given.words])

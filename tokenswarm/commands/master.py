"""`tokenswarm master`: waits for workers of other hosts, then loads a server that runs already."""

from argparse import ArgumentParser, Namespace

from campaign import child, load
from common.usage import UsageError, whole
from tokenswarm.commands.worker import add_token_file, locust, results, token_words


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "variant", nargs="?", default="baseline", metavar="VARIANT", help="what the run calls it"
    )
    parser.add_argument("--host", required=True, metavar="URL", help="the server")
    parser.add_argument("--workers", type=whole, default=1, metavar="N", help="processes to wait for")
    parser.add_argument("--strict", action="store_true", help="exit 3 to 8 for the run's verdict, not 0")
    add_token_file(parser)
    load.add_load_arguments(parser)
    parser.set_defaults(target="auto", port=None, master_port=None)  # of a server that is launched; none is


def run(given: Namespace) -> int:
    """Be Locust's master; the exit code."""
    wanted = load.load_of(given)
    wanted.resolved()
    if given.workers < 1:
        raise UsageError(f"--workers {given.workers}: must be 1 or more")
    words = ["--headless", "--master", "--expect-workers", str(given.workers), "--host", given.host]
    command = locust(wanted.locustfile, [*words, *token_words(given), *wanted.load_words(), *given.words])
    code = child.run(command, {"TOKENSWARM_VARIANT": given.variant, **results()})
    return 0 if code in load.VERDICTS and not given.strict else code

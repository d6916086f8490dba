"""`tokenswarm worker`: makes load for the master of another host."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from campaign import load
from common.places import ROOT
from common.results import results_folder
from common.terminal import say
from common.usage import UsageError, whole
from loadgen.protocol.settings import keep_headers


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--master", default="127.0.0.1", metavar="HOST", help="where the master waits")
    parser.add_argument(
        "--workers", type=whole, default=1, metavar="N", help="worker processes here (default: 1)"
    )
    add_token_file(parser)
    parser.add_argument(
        "--header", action="append", default=[], metavar="'K: V'", help="as the master has it"
    )
    parser.add_argument("--locustfile", default=load.LOCUSTFILE, metavar="FILE", help="as the master has it")


def run(given: Namespace) -> NoReturn:
    """Become Locust's worker."""
    if given.workers < 1:
        raise UsageError(f"--workers {given.workers}: must be 1 or more")
    keep_headers(given.header)
    say(f"waiting for the master on {given.master}: it starts the load, and this ends with it")
    words = ["--worker", "--master-host", given.master, *token_words(given)]
    words += ["--processes", str(given.workers)] if given.workers > 1 else []
    command = locust(load.absolute(given.locustfile), [*words, *given.words])
    os.environ |= results()
    os.chdir(ROOT)
    os.execv(command[0], command)  # so that every signal reaches it


def add_token_file(parser: ArgumentParser) -> None:
    """What master and workers know one another by."""
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="with the token that the master has")


def token_words(given: Namespace) -> list[str]:
    """The same for Locust, which runs in the project's folder."""
    return ["--token-file", str(given.token_file.resolve())] if given.token_file else []


def locust(locustfile: str, words: Sequence[str]) -> list[str]:
    """Locust's command line, for the project's folder. Raises UsageError."""
    load.require_locustfile(locustfile)
    return [sys.executable, "-m", "loadgen", "-f", locustfile, *words]


def results() -> dict[str, str]:
    """What tells it where ours are."""
    return {"TOKENSWARM_RESULTS": str(results_folder().resolve())}

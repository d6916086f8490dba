"""Errors that are meant for the person at the terminal."""

import difflib
import signal
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable
from typing import NoReturn

from common import terminal

USAGE = 2  # exit code for a user's mistake


class UsageError(Exception):
    """A user's mistake: its text is one line that says what is wrong, where, and what to do."""


class Parser(ArgumentParser):
    """A command line on which a mistake is a UsageError: one line, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')} ({self.prog} --help lists the options)")


def meant(given: str, known: Iterable[str]) -> str | None:
    """The one of the known names that was probably meant."""
    return next(iter(difflib.get_close_matches(given, list(known), n=1)), None)


def whole(text: str) -> int:
    """The type of an option that is a whole number."""
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"must be a whole number, is {text!r}") from None


def number(text: str) -> float:
    """The type of an option that is a number."""
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"must be a number, is {text!r}") from None


def exit_code(command: Callable[[], int]) -> int:
    """Run a command; a UsageError becomes one line on stderr and exit code 2, never a traceback.

    Likewise what a shell gives for Ctrl-C, and for output that nobody reads to its end.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see common.early
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return command()
    except UsageError as error:
        terminal.say(f"tokenswarm: {error}")
        return USAGE
    except BrokenPipeError:  # as in `make history | head`
        terminal.write_nowhere(1)
        return 141
    except KeyboardInterrupt:
        return 130

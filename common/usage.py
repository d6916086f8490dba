"""Errors that are meant for the person at the terminal."""

import difflib
import re
import signal
import textwrap
from argparse import SUPPRESS, Action, ArgumentParser, ArgumentTypeError, HelpFormatter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from common import terminal

USAGE = 2  # exit code for a user's mistake


class UsageError(Exception):
    """A user's mistake: its text is one line that says what is wrong, where, and what to do."""


class Compact(HelpFormatter):
    """Help that fits a screen: options without words of their own run on in lines."""

    def start_section(self, heading: str | None) -> None:
        super().start_section(None if heading in ("positional arguments", "options") else heading)

    def add_arguments(self, actions: Iterable[Action]) -> None:
        told = list(actions)
        super().add_arguments([each for each in told if each.help is not None])
        rest = [self._format_action_invocation(each) for each in told if each.help is None]
        self._add_item(self._run_on, [rest])

    def _run_on(self, options: Sequence[str]) -> str:
        unbroken = "  ".join(each.replace(" ", "\0") for each in options)
        indent = " " * self._current_indent
        lines = textwrap.wrap(
            unbroken, self._width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
        return "".join(f"{line}\n" for line in lines).replace("\0", " ")


class Parser(ArgumentParser):
    """A command line on which a mistake is a UsageError: one line, without the list of all options.

    What follows an option of `TAKE_FLAGS` may begin with two hyphens, until an option that is known here.
    """

    TAKE_FLAGS = ("--grid",)

    def __init__(self, **more: Any) -> None:
        super().__init__(**{"formatter_class": Compact, "add_help": False, **more})
        self.add_argument("-h", "--help", action="help", help=SUPPRESS)  # who reads its line has found it

    def format_help(self) -> str:
        """The usage, and what it does right below it: so that all of it fits a screen."""
        return super().format_help().replace("\n\n", "\n", 1)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        return super().parse_known_args(self._with_flags(args or []), namespace)

    def _with_flags(self, words: Sequence[str]) -> list[str]:
        """With a space before each flag that is a value, so that it is taken for no option."""
        found, taken = [], False
        for word in words:
            name = word.partition("=")[0]
            if name in self._option_string_actions:
                taken = word in self.TAKE_FLAGS
            elif taken and name.startswith("--"):
                word = f" {word}"
            found.append(word)
        return found

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')} ({self.prog} --help lists the options)")


class Joined(Action):
    """An option that may be given again: its texts, with commas between them."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        before = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, f"{before}, {values}" if before else values)


def meant(given: str, known: Iterable[str]) -> str | None:
    """The one of the known names that was probably meant."""
    return next(iter(difflib.get_close_matches(given, list(known), n=1)), None)


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """The line that says so, with the one that was probably meant and all that there are."""
    names = list(known)
    close = meant(given, names)
    hint = f"did you mean {close!r}? " if close else ""
    return f"unknown {what} {given!r}; {hint}there are: {', '.join(names)}"


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


def seconds(text: str) -> float:
    """The type of an option that is a time: '90', '90s', '30m', '2h'; in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([smh]?)", text.strip())
    if found is None or not float(found[1]):
        raise ArgumentTypeError(f"must be a time like 90s, 30m or 2h, is {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def exit_code(command: Callable[[], int]) -> int:
    """Run a command; a UsageError becomes one line on stderr and exit code 2, never a traceback.

    So does a file that the system refuses (a name too long, no right to read it). Likewise what a shell gives
    for Ctrl-C, and for output that nobody reads to its end.
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
    except OSError as error:
        if error.filename is None:  # no file that somebody named, or that lies where it may not
            raise
        terminal.say(f"tokenswarm: {error.filename}: {error.strerror}")
        return USAGE
    except KeyboardInterrupt:
        return 130

"""Errors that are meant for the person at the terminal."""

import sys
from collections.abc import Callable


class UsageError(Exception):
    """A user's mistake: its text is one line that says what is wrong, where, and what to do."""


def exit_code(command: Callable[[], int]) -> int:
    """Run a command; a UsageError becomes one line on stderr and exit code 2, never a traceback."""
    try:
        return command()
    except UsageError as error:
        print(f"tokenswarm: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130

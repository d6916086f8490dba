"""`python -m reports COMMAND`: each command is a module with `add_arguments(parser)` and `run(arguments)`.

Only the module of the command given is imported, so that judging a small run stays quick.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

import common.early  # noqa: F401  (first)
from common.usage import Parser, exit_code

COMMANDS = {  # name: (module, one line)
    "judge": ("reports.verdict.judge", "write a run's summary.json and say its verdict"),
    "compare": ("reports.commands.compare", "write a report that compares runs"),
    "history": ("reports.commands.history", "list all runs"),
    "audit": ("reports.commands.audit", "report on another tool's result file"),
    "export": ("reports.commands.export", "write a run as another tool's result file"),
}


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    lines = "\n".join(f"  {name:10}{text}" for name, (_, text) in COMMANDS.items())
    parser = Parser(
        prog="python -m reports",
        epilog=f"commands:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="see below")
    name = parser.parse_args(arguments[:1]).command
    module, text = COMMANDS[name]
    command = importlib.import_module(module)
    sub = Parser(prog=f"python -m reports {name}", description=f"{text[0].upper()}{text[1:]}.")
    command.add_arguments(sub)
    return int(command.run(sub.parse_args(arguments[1:])))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))

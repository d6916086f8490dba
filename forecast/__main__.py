"""`python -m forecast`: the same as `tokenswarm forecast`."""

import sys

import common.early  # noqa: F401  (first)
from common.usage import Parser, exit_code
from forecast.command import add_arguments, run


def main(words: list[str]) -> int:
    """The exit code."""
    parser = Parser(prog="python -m forecast", description="What others would show, from one run.")
    add_arguments(parser)
    return run(parser.parse_args(words))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))

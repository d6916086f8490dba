"""Locust's parser with the load's options, whoever has imported the locustfile's user class before."""

from locust.argument_parser import LocustArgumentParser, get_parser

from loadgen import options


def load_parser() -> LocustArgumentParser:
    """`loadgen.user` adds the options to each parser that Locust makes, once some test has imported it."""
    parser = get_parser()
    if "--scenario" not in parser._option_string_actions:
        options.add_arguments(parser)
    return parser

"""`tokenswarm run`: one variant served, loaded and judged."""

from argparse import ArgumentParser, Namespace

from campaign import forecasts, load


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("variant", metavar="VARIANT", help="its name, or the path of a YAML file")
    parser.add_argument("--strict", action="store_true", help="exit 3 to 8 for the run's verdict, not 0")
    parser.add_argument("--dry-run", action="store_true", help="show the server's command and one request")
    load.add_arguments(parser)


def run(given: Namespace) -> int:
    """Make one run; its exit code."""
    wanted = load.load_of(given)
    wanted.check([given.variant])
    if given.dry_run:
        return load.show(wanted, given.variant)
    forecasts.foretell(wanted, given.variant, forecasts.waiting_folder())
    code = load.run_once(wanted, given.variant)
    forecasts.settle(given.variant)
    return 0 if code in load.VERDICTS and not given.strict else code

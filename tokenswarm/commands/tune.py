"""`tokenswarm tune`: variants race on the same arrivals, who is beaten drops out, the best is named."""

from argparse import ArgumentParser

from campaign import load, series
from campaign.series import run as run
from common.usage import seconds
from reports.comparison import race

REPEATS = 10  # at the most: of a machine on which starts differ by 2 % they show 4 %


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="two or more that race")
    series.add_runs(parser, f"runs of each at the most (default: {REPEATS})", REPEATS)
    parser.add_argument(
        "--by",
        choices=race.FIGURES,
        default=race.USUAL,
        metavar="FIGURE",
        help=f"decides where the SLO does not (default: {race.USUAL})",
    )
    parser.add_argument("--budget", type=seconds, metavar="30m")  # this and --starts: docs/tune.md
    load.add_arguments(parser)
    parser.set_defaults(
        until_decided=False, every_repeat=False, strict=False, fail_on=[], junit=None, summary=None
    )

"""Variants from a few words: every combination of some flags' values, each as a variant file of its own."""

import itertools
import re
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml
from pydantic import ValidationError

from campaign.load import absolute
from common.results import VARIANTS, results_folder, write_whole
from common.usage import UsageError
from server.variants import Variant

BASELINE = "baseline"  # what a grid is held to, unless its command names another
MOST = 200  # combinations; more were never finished
LONGEST = 80  # characters of a name
EXPECTED = "A point of a grid; its author did not say."
_COMMON = ("max-num-", "num-", "max-", "enable-")  # what names of flags begin with and a reader does not miss


@dataclass(frozen=True)
class Axis:
    """A flag and its values; None stands for the target's command as it is."""

    flag: str
    values: Sequence[str | None]


def add_arguments(parser: ArgumentParser) -> None:
    """--grid."""
    parser.add_argument(
        "--grid",
        nargs="+",
        default=[],
        metavar=("F=A,B", "…"),
        help="every combination of flags' values is a variant, too",
    )


def variants_of(given: Namespace) -> list[str]:
    """The variants that the command names, then its grid's; of a grid alone baseline is the first."""
    named = [absolute(variant) for variant in given.variants]
    if not given.grid:
        return named
    return [*(named or [BASELINE]), *write(points([axis(word) for word in given.grid]))]


def axis(word: str) -> Axis:
    """'--max-num-seqs=8,16' as an axis; of a flag without values: without it, and with it."""
    flag, equals, values = word.strip().partition("=")
    if not re.fullmatch(r"--[A-Za-z][\w.-]*", flag):
        raise UsageError(f"--grid {word.strip()}: write --flag=value,value; variants stand before --grid")
    if not equals:
        return Axis(flag, (None, ""))
    if "{" in values or "[" in values:
        raise UsageError(
            f"--grid {word.strip()}: JSON is no list of values; write a variant file (docs/variants.md)"
        )
    listed = [value.strip() for value in values.split(",")]
    if "" in listed or len(set(listed)) < len(listed):
        raise UsageError(f"--grid {word.strip()}: a value is empty or named twice")
    return Axis(flag, listed)


def points(axes: Sequence[Axis]) -> dict[str, Variant]:
    """A variant for each combination, by its name. Raises UsageError for what is no grid."""
    flags = [each.flag for each in axes]
    if len(set(flags)) < len(flags):
        raise UsageError(f"--grid: {next(flag for flag in flags if flags.count(flag) > 1)} is named twice")
    chosen = [
        [(each.flag, value) for each, value in zip(axes, values, strict=True) if value is not None]
        for values in itertools.product(*(each.values for each in axes))
    ]
    wanted = [point for point in chosen if point]  # without any flag it is the target's own command
    if len(wanted) > MOST:
        raise UsageError(f"--grid: {len(wanted):,} combinations; at most {MOST} are run in one go")
    short = {flag: _short(flag) for flag in flags}
    if len(set(short.values())) < len(short):
        short = {flag: _plain(flag) for flag in flags}
    found = {_name(point, short): _variant(point) for point in wanted}
    if len(found) < len(wanted):
        raise UsageError("--grid: two combinations have one name; write a variant file for one of them")
    return found


def write(found: dict[str, Variant]) -> list[str]:
    """The variants' files, in the results, so that each can be served again; their paths."""
    folder = results_folder() / VARIANTS
    paths = []
    for name, variant in found.items():
        path = folder / f"{name}.yaml"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, yaml.safe_dump(variant.model_dump(exclude_defaults=True), sort_keys=False))
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
        paths.append(absolute(str(path)))
    return paths


def _variant(point: Sequence[tuple[str, str | None]]) -> Variant:
    flags = [f"{flag} {shlex.quote(value)}" if value else flag for flag, value in point]
    try:
        return Variant(
            changes=f"{' '.join(flags)}, added to the target's command", expected=EXPECTED, add=flags
        )
    except ValidationError as error:
        raise UsageError(f"--grid {' '.join(flags)}: {error.errors()[0]['msg']}") from None


def _plain(flag: str) -> str:
    return flag.removeprefix("--").replace("_", "-")


def _short(flag: str) -> str:
    known = _plain(flag)
    return known.removeprefix(next((each for each in _COMMON if known.startswith(each)), ""))


def _name(point: Sequence[tuple[str, str | None]], flags: Mapping[str, str]) -> str:
    """'seqs-8-batched-tokens-512'"""
    words = [flags[flag] + (f"-{value}" if value else "") for flag, value in point]
    return re.sub(r"[^A-Za-z0-9.-]", "-", "-".join(words)).strip("-.")[:LONGEST].rstrip("-.")

"""Variants: the server configurations under comparison. One YAML file each in server/variants/."""

import re
import shlex

from pydantic import Field

from common.strictyaml import Strict, find_file, read_model
from server.places import ROOT
from server.targets import Environment, Flag, flag_name

FOLDER = ROOT / "server" / "variants"


class Variant(Strict):
    """One variant file: what differs from the target's own command."""

    changes: str = Field(min_length=1)  # one plain line: what it changes
    expected: str = Field(min_length=1)  # what its author expects of it, written before the run
    add: list[Flag] = []  # flags added; one that the target has already gets the new value in place
    remove: list[Flag] = []  # flags taken out, by their name alone
    environment: Environment = {}
    ignored_if_logged: re.Pattern[str] | None = None  # the server's log says that the variant has no effect


def names() -> list[str]:
    """The variants there are, baseline first."""
    return sorted((path.stem for path in FOLDER.glob("*.yaml")), key=lambda name: (name != "baseline", name))


def read_variant(name: str) -> Variant:
    """Read a variant by its name, or by the path of a YAML file of your own."""
    return read_model(find_file(FOLDER, name, "variant"), Variant)


def apply(base: list[str], variant: Variant) -> list[list[str]]:
    """The flags of `base` with the variant's removals and additions, each split into its words.

    Raises ValueError when a flag to remove is not there: the variant would change nothing.
    """
    flags = [shlex.split(flag) for flag in base]
    for name in variant.remove:
        kept = [words for words in flags if flag_name(words[0]) != flag_name(name)]
        if len(kept) == len(flags):
            raise ValueError(f"{name} is not in the target's command, so there is nothing to remove")
        flags = kept
    for flag in variant.add:
        _put(flags, shlex.split(flag))
    return flags


def _put(flags: list[list[str]], words: list[str]) -> None:
    for index, old in enumerate(flags):
        if flag_name(old[0]) == flag_name(words[0]):
            flags[index] = words
            return
    flags.append(words)

"""Variants: the server configurations under comparison. One YAML file each in server/variants/."""

import re

from pydantic import Field

from common.places import ROOT
from common.strictyaml import Strict, find_file, read_model
from server.targets import Environment, Flag, flag_name, split

FOLDER = ROOT / "server" / "variants"


class Variant(Strict):
    """One variant file: what differs from the target's own command."""

    changes: str = Field(min_length=1)  # one plain line: what it changes
    expected: str = Field(min_length=1)  # what its author expects of it, written before the run
    add: list[Flag] = []  # flags added, as often as they stand here; those of the target go for them
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
    flags = [split(flag) for flag in base]
    for name in variant.remove:
        kept = [words for words in flags if flag_name(words[0]) != flag_name(name)]
        if len(kept) == len(flags):
            raise ValueError(f"{name} is not in the target's command, so there is nothing to remove")
        flags = kept
    added: dict[str, list[list[str]]] = {}
    for flag in variant.add:
        words = split(flag)
        added.setdefault(flag_name(words[0]), []).append(words)
    for name, new in added.items():
        flags = _put(flags, name, new)
    return flags


def _put(flags: list[list[str]], name: str, new: list[list[str]]) -> list[list[str]]:
    """The flags with `new` in the place of the first of this name; the others of it would win over that."""
    places = [place for place, words in enumerate(flags) if flag_name(words[0]) == name]
    kept = [words for place, words in enumerate(flags) if place not in places]
    first = places[0] if places else len(flags)
    return [*kept[:first], *new, *kept[first:]]

"""`tokenswarm variants`: what can be compared, and what each changes."""

from argparse import ArgumentParser, Namespace

from common.terminal import shown
from server import variants


def add_arguments(parser: ArgumentParser) -> None:
    """None."""


def run(given: Namespace) -> int:
    """Print two lines for each."""
    for name in variants.names():
        variant = variants.read_variant(name)
        print(shown(f"{name:<20} {variant.changes}"))
        print(shown(f"{'':<20} {'; '.join(_differences(variant))}"))
    return 0


def _differences(variant: variants.Variant) -> list[str]:
    added = [f"adds {flag}" for flag in variant.add]
    removed = [f"removes {flag}" for flag in variant.remove]
    settings = [f"sets {name}={value}" for name, value in variant.environment.items()]
    return [*added, *removed, *settings] or ["the target's own command"]

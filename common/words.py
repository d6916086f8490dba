"""English words, the most common first: of prompts, and of the text that the CPU model is trained on."""

from functools import cache
from pathlib import Path


@cache
def english() -> tuple[str, ...]:
    """Each once, in ASCII."""
    return tuple(Path(__file__).with_name("words.txt").read_text(encoding="ascii").split())

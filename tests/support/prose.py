"""Sentences of Markdown: of its prose, without tables, code, headings, pictures and comments."""

import re

LONGEST = 25  # words


def sentences(text: str) -> list[str]:
    """The sentences, in their order. What stands in backticks is one word; of a link the text counts."""
    text = re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"(?m)^(?: {4}|\t)(?![-*] |\d+\. ).*$", "", text)  # code by its indentation
    return [
        sentence
        for paragraph in _paragraphs(text)
        for sentence in re.split(r"(?<=[.!?])[*_)\"']*\s+", _bare(paragraph))
        if sentence
    ]


def too_long(text: str, longest: int = LONGEST) -> list[str]:
    """The sentences of more words, each with their number. The setup of a report is a list, part by part."""
    found = []
    for sentence in sentences(
        re.sub(r"(?m)^\*\*Setup\.\*\*.*$", lambda line: line[0].replace("; ", ". "), text)
    ):
        count = len(re.findall(r"[\w][\w.,−%/'-]*", sentence))
        if count > longest:
            found.append(f"{count}: {sentence}")
    return found


def _paragraphs(text: str) -> list[str]:
    found: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        open_ = False
        for line in (each.strip() for each in block.splitlines()):
            if line.startswith(("|", "#", "![", "<")):
                open_ = False
                continue
            item = re.sub(r"^(?:[-*]|\d+\.)\s+|^>\s?", "", line)
            if open_ and item == line:
                found[-1] += f" {line}"
            else:
                found.append(item)
            open_ = True
    return found


def _bare(text: str) -> str:
    return re.sub(r"`[^`]*`", "code", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))

"""`tokenswarm VERB …`: finds the verb, reads its arguments, runs it."""

import importlib
import os
import sys
from argparse import Action, Namespace
from collections.abc import Sequence
from dataclasses import dataclass

from common import early
from common.usage import Parser, UsageError, exit_code, meant
from common.version import version
from tokenswarm.verbs import TOKENSWARM, Group, Verb

HELP = ("-h", "--help", "help")


@dataclass(frozen=True)
class Asked:
    """A command line as far as its verb."""

    path: tuple[str, ...]  # names down to the verb's
    found: Verb | Group | None  # None: there is none of that name
    group: Group  # in which it was looked for
    words: Sequence[str]  # the rest


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; its exit code. 2, with one line, for a mistake."""
    early.begin()
    given = sys.argv[1:] if words is None else words
    verb = find(given).found
    if isinstance(verb, Verb):
        if verb.module.startswith("reports."):  # which multiply small matrices, and start no other program
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one for each core costs 0.1 s of CPU time
        importlib.import_module(verb.module)  # before exit_code: Ctrl-C ends it without a traceback
    return exit_code(lambda: run(given))


def run(words: Sequence[str]) -> int:
    """The same within a program. Raises UsageError for a mistake."""
    asked = find(words)
    if isinstance(asked.found, Verb):
        return int(importlib.import_module(asked.found.module).run(parse(words)))
    if isinstance(asked.found, Group):
        return _tell(asked, asked.found)
    known = asked.group.verbs
    near = meant(asked.path[-1], known)
    hint = f" (do you mean {near}?)" if near else ""
    raise UsageError(f"no verb {asked.path[-1]!r}{hint}; there are: {', '.join(known)}")


def parse(words: Sequence[str]) -> Namespace:
    """The arguments of a verb, with `verb` (its name) and `words` (what came after --). Raises UsageError."""
    asked = find(words)
    assert isinstance(asked.found, Verb)
    rest = list(asked.words)
    cut = rest.index("--") if asked.found.after and "--" in rest else len(rest)
    given = parser_of(asked.path, asked.found).parse_args(rest[:cut])
    given.words = rest[cut + 1 :]
    return given


def find(words: Sequence[str]) -> Asked:
    """The verb that the first words name."""
    asked = Asked(("tokenswarm",), TOKENSWARM, TOKENSWARM, words)
    while isinstance(asked.found, Group):
        name = asked.words[0] if asked.words else asked.found.usual
        if not name or name.startswith("-") or name in HELP:
            break
        asked = Asked((*asked.path, name), asked.found.verbs.get(name), asked.found, asked.words[1:])
    return asked


def parser_of(path: Sequence[str], verb: Verb) -> Parser:
    """The verb's command line."""
    prog = " ".join(path)
    parser = Parser(
        prog=prog,
        description=f"{verb.line[0].upper()}{verb.line[1:]}.",
        epilog=f"example: {prog} {verb.example}".rstrip(),
    )
    importlib.import_module(verb.module).add_arguments(parser)
    positionals = [_shown(action) for action in parser._actions if not action.option_strings]
    after = [f"[-- {verb.after}]"] if verb.after else []
    parser.usage = " ".join([prog, *positionals, "[options]", *after])
    parser.set_defaults(verb=path[-1])
    return parser


def _shown(action: Action) -> str:
    """A positional argument in the usage."""
    name = str(action.metavar or action.dest.upper())
    return {"?": f"[{name}]", "*": f"[{name} …]", "+": f"{name} …"}.get(str(action.nargs), name)


def _tell(asked: Asked, group: Group) -> int:
    """What a group is asked for instead of one of its verbs."""
    first = asked.words[0] if asked.words else "--help"
    if first == "--version":
        print(f"tokenswarm {version()}")
    elif first in HELP:
        print(_overview(asked.path, group))
    else:
        raise UsageError(f"{first}: a verb comes first ({' '.join(asked.path)} --help lists them)")
    return 0


def _overview(path: Sequence[str], group: Group) -> str:
    prog = " ".join(path)
    width = max(map(len, group.verbs)) + 2
    usual = f" (without a verb: {group.usual})" if group.usual else " | --version"
    lines = [f"  {name:{width}}{each.line}" for name, each in group.verbs.items()]
    return "\n".join([f"usage: {prog} VERB …{usual}; VERB --help says more", *lines])


if __name__ == "__main__":
    sys.exit(main())

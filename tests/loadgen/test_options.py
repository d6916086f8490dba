"""Locust's own options, as we change them."""

import os
import socket
from argparse import Namespace
from pathlib import Path
from unittest.mock import patch

import pytest

from common.usage import UsageError
from loadgen import options
from tests.support.loadparser import load_parser


def adapted(*words: str) -> Namespace:
    """Locust's options for this command line."""
    parser = load_parser()
    with patch("loadgen.options._was_free", return_value=True):  # by others, too
        options.adapt(parser, words)
    found: Namespace = parser.parse_args(list(words))
    return found


def test_the_web_ui_is_for_this_machine_alone_unless_asked_for_more() -> None:
    """Whoever reaches it can start loads and read the results; Locust's own default is every address."""
    assert adapted().web_host == "127.0.0.1"
    assert adapted("--web-host", "0.0.0.0").web_host == "0.0.0.0"
    with patch.dict(os.environ, {"LOCUST_WEB_HOST": "0.0.0.0"}):  # as in our container
        assert adapted().web_host == "0.0.0.0"


def test_locusts_log_is_quiet_where_the_run_speaks_for_itself() -> None:
    for quiet in (("--headless",), ("--headless", "--processes=2")):
        assert adapted(*quiet).loglevel == "WARNING"
    for words in ((), ("--headless", "--master"), ("--worker",)):
        assert adapted(*words).loglevel == "INFO"
    assert adapted("--headless", "--loglevel", "DEBUG").loglevel == "DEBUG"


def test_master_and_workers_of_one_command_have_a_port_of_their_own() -> None:
    usual = adapted("--headless").master_port
    assert adapted("--processes", "2").master_port != usual == adapted("--headless", "--master").master_port
    assert adapted("--processes", "2", "--master-port", "7000").master_port == 7000


def test_a_port_for_workers_that_is_taken_is_named() -> None:
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        bind = f"--master-bind-port={port}"
        for words in (
            ["--master", bind],
            ["--processes", "2", bind],
            ["--master", "--master-bind-port", port],
        ):
            with pytest.raises(UsageError, match=f"port {port}, where workers are to join, is taken"):
                options.adapt(load_parser(), words)
        options.adapt(load_parser(), ["--worker", "--processes", "2", "--master-port", port])


def test_workers_know_whether_a_master_made_them() -> None:
    for words, own in ((["--processes", "2"], True), (["--worker", "--processes", "2"], False), ([], False)):
        parser = load_parser()
        options.adapt(parser, words)
        assert parser.parse_args(words).own_master is own


def test_locusts_own_file_counts_as_the_command_line_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locust.conf").write_text("processes = 2\nheadless = true\n")
    monkeypatch.chdir(tmp_path)
    found = adapted()
    loglevel, port = found.loglevel, found.master_port
    assert loglevel == "WARNING" and port != options.MASTER_PORT


def test_locusts_run_time_is_the_duration_where_none_is_given() -> None:
    for words, duration in ((["-t", "1m30s"], "90"), (["-t", "90", "--duration", "7"], "7"), ([], None)):
        asked = adapted(*words)
        options.take_run_time(asked)
        assert (asked.duration, asked.run_time) == (duration, None), words

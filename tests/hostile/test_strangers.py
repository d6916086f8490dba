"""Who has not the run's token costs the run nothing; who has it and errs costs no other's records."""

import socket
import time
from pathlib import Path

import pytest
import zmq.constants as options

from bench.process import metronome
from common.ports import free_port
from common.usage import UsageError
from loadgen.protocol import access
from tests.hostile.strangers import HEADERS, listening, message, peer
from tests.support.loadrun import SHORT, LoadRun
from tests.support.waiting import PATIENCE

FEW = SHORT.replace("rate: 20", "rate: 10")
TOKEN = "t" * 64


def master(folder: Path, url: str, port: int) -> LoadRun:
    """One that waits for a single worker that holds the token."""
    options = ("--master", "--expect-workers", "1", "--master-bind-port", str(port))
    given = {"TOKENSWARM_TOKEN": TOKEN}
    return LoadRun(folder / "master", url, *options, workers=None, scenario=FEW, environment=given)


def worker(folder: Path, url: str, port: int) -> LoadRun:
    """One that holds the token and joins."""
    joining, given = ("--worker", "--master-port", str(port)), {"TOKENSWARM_TOKEN": TOKEN}
    return LoadRun(folder, url, *joining, workers=None, headless=False, environment=given)


def whole(found: object, count: int) -> None:
    assert found.counts() == {"completed": count}, found.err  # type: ignore[attr-defined]
    assert "Traceback" not in found.err  # type: ignore[attr-defined]


def test_a_local_run_listens_on_this_host_alone_and_takes_no_stranger(tmp_path: Path) -> None:
    with (
        metronome("--ttft", "0.05", "--tpot", "0.01") as server,
        LoadRun(tmp_path, server.url, workers=2, scenario=FEW) as running,
    ):
        running.wait_for("run folder")
        ports = listening(running.process.pid)
        assert set(ports.values()) == {"0100007F"}, "127.0.0.1"
        (port,) = ports
        for junk in HEADERS:
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(junk)
        forged = {"run": running.folder.name, "lane": 0, "number": 0, "content": b"garbage"}
        for token in (None, "a" * 64):
            with peer(port, "stranger", token) as stranger:
                stranger.send(message("client_ready", "2.47.0", "stranger"))
                for _ in range(20):
                    stranger.send(message("tokenswarm-batch", forged, "stranger"), options.NOBLOCK)
                time.sleep(0.3)
        running.wait_for("running ")
        found = running.end()
    assert len(found.manifest["lanes"]) == 2 and "set_aside" not in found.manifest
    whole(found, found.manifest["due"])


@pytest.mark.parametrize("when", [pytest.param("run folder", marks=pytest.mark.thorough), "running "])
def test_forged_and_garbled_messages_of_one_that_holds_the_token_cost_no_record(
    when: str, tmp_path: Path
) -> None:
    port = free_port()
    with (
        metronome("--ttft", "0.05", "--tpot", "0.01") as server,
        master(tmp_path, server.url, port) as run,
        worker(tmp_path / "worker", server.url, port),
    ):
        run.wait_for(when)
        name = run.folder.name
        with peer(port, "forger", TOKEN) as forger:
            for kind, data, node in forgeries(name):
                forger.send(message(kind, data, node))
            forger.send(b"\xc1\xc1\xc1")
            forger.send(message("tokenswarm-batch", None, "forger")[:-3])
            run.wait_for("is passed over")  # they have come; what is not sent yet goes with the socket
            time.sleep(0.5)
        found = run.end()
    assert len(found.manifest["lanes"]) == 1
    whole(found, found.manifest["due"])
    assert found.manifest["ended"] == "complete" and "is passed over" in found.err


def test_a_token_holder_that_joins_first_gets_no_lane_and_holds_nothing_up(tmp_path: Path) -> None:
    """It joins as any Locust worker would, before the announced one, and is none of ours."""
    port = free_port()
    with (
        metronome("--ttft", "0.05", "--tpot", "0.01") as server,
        master(tmp_path, server.url, port) as run,
        peer(port, "early", TOKEN) as early,
    ):
        early.send(message("client_ready", "2.47.0", "early"))
        assert early.poll(1000 * PATIENCE), "Locust's own word that it has joined"
        early.send(message("tokenswarm-here", {"process": {"pid": "odd"}}, "early"))
        time.sleep(1)
        with worker(tmp_path / "worker", server.url, port):
            found = run.end()
    (lane,) = found.manifest["lanes"]
    assert lane["worker"] != "early" and found.manifest["ended"] == "complete"
    whole(found, found.manifest["due"])
    assert "passed over" in found.err


@pytest.mark.thorough
def test_more_workers_than_were_announced_make_no_load(tmp_path: Path) -> None:
    port = free_port()
    with (
        metronome("--ttft", "0.05", "--tpot", "0.01") as server,
        worker(tmp_path / "one", server.url, port) as one,
        worker(tmp_path / "other", server.url, port) as other,
    ):
        time.sleep(4)  # both try to join by now, and go on trying
        with master(tmp_path, server.url, port) as run:
            found = run.end()
        assert one.end().code == other.end().code == 0, "they end with the master"
    assert len(found.manifest["lanes"]) == 1
    whole(found, found.manifest["due"])


def forgeries(name: str) -> list[tuple[str, object, str]]:
    batch = {"run": name, "lane": 0, "number": 0, "content": b"garbage"}
    closed = {"run": name, "lane": 0, "batches": 0, "records": 0, "due": 0, "left": True}
    found: list[tuple[str, object, str]] = [
        ("tokenswarm-batch", batch, "forger"),
        ("tokenswarm-batch", batch | {"number": "one"}, "forger"),
        ("tokenswarm-batch", batch | {"lane": 99}, "forger"),
        ("tokenswarm-closed", closed, "forger"),
        ("tokenswarm-ready", {"run": name, "lane": 0, "error": 3}, "forger"),
        ("tokenswarm-pulse", {"run": name, "lane": 0, "t": "soon"}, "forger"),
        ("tokenswarm-pong", {"run": name, "lane": -1}, "forger"),
        ("tokenswarm-here", {"run": name, "lane": 0, "process": {"pid": 1}}, "forger"),
        ("heartbeat", None, "forger"),
        ("stats", {"stats": 7}, "forger"),
        ("quit", None, "somebody else"),
        ("no such message", [[[]]], "forger"),
    ]
    return found


def test_a_worker_without_the_token_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "WITHIN", 0.1)
    with pytest.raises(UsageError, match=r"copy the master's token file here \(--token-file\)"):
        access.find_token(False, tmp_path / "none")
    joining, short = ("--worker", "--master-port", str(free_port())), {"TOKENSWARM_TOKEN": "short"}
    url = "http://127.0.0.1:1"
    with LoadRun(tmp_path, url, *joining, workers=None, headless=False, environment=short) as run:
        found = run.end()
    assert found.code == 2 and "a token has 32 to 200 printable characters" in found.err
    assert "Traceback" not in found.err

"""manifest.json: what was asked, on what, and how the run went. docs/design.md lists its keys."""

import contextlib
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from common.places import IN_CLONE
from common.results import DRAFT, MANIFEST, SERVER, now, results_folder, stamped
from common.usage import UsageError
from common.version import DESCRIBE, named
from loadgen.host import child_process, machine
from loadgen.master.server_info import Served
from loadgen.protocol.settings import Subject
from loadgen.records.collect import BATCHES
from loadgen.workload.schedule import Schedule
from loadgen.workload.vocabulary import Vocabulary

FORMAT = 1


def make_folder(subject: Subject) -> Path:
    """The run's folder, claimed by its (still empty) draft: the launcher's, or a new one. A second run beside
    it gets a folder of its own, also where the first has not ended, or its master died.

    Raises UsageError when it cannot be made or written to.
    """
    given = os.environ.get("TOKENSWARM_RUN_DIR")
    first = Path(given) if given else results_folder() / stamped(subject.variant)
    for number in range(1, 1000):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        if (folder / MANIFEST).exists() or (folder / BATCHES).exists():
            continue
        try:
            folder.mkdir(parents=True, exist_ok=given is not None)
            (folder / DRAFT).touch(exist_ok=False)
        except FileExistsError:  # another run has it
            if folder.is_dir():
                continue
            raise UsageError(f"{folder}: the run's folder cannot be made: a file is in its place") from None
        except OSError as error:
            raise UsageError(f"{folder}: the run's folder cannot be written: {error.strerror}") from None
        return folder
    raise UsageError(f"{first}: there are 1,000 runs beside it already")


def draft(
    folder: Path,
    subject: Subject,
    schedule: Schedule,
    served: Served,
    host: str,
    vocabulary: Vocabulary,
    lanes: int,
) -> dict[str, Any]:
    """All that is known before the workers are ready; `lane_count` stands for `lanes`, and `master` is the
    process that makes a run of it."""
    server = server_of(folder, host)
    return {
        "format": FORMAT,
        "run": folder.name,
        "variant": subject.variant,
        "target": subject.target or (server or {}).get("target"),
        "model": served.model,
        "host": host,
        **schedule.told(),
        "started_at": now(),
        "prompts": {
            "how": vocabulary.how,
            "exact": vocabulary.exact,
            "unique": schedule.prompts_unique,
            "worst_error": vocabulary.worst_error,
        },
        "dataset_remarks": list(schedule.remarks),
        "server": server,
        "versions": {
            "tokenswarm": named(commit()),
            "python": platform.python_version(),
            "locust": version("locust"),
            "gevent": version("gevent"),
            "vllm": served.vllm_version,
        },
        "machine": machine.describe(),
        "lane_count": lanes,
        "master": machine.this_process(),
    }


def commit() -> str | None:
    """The project's own git commit, with "-dirty" where files differ; None outside a clone."""
    if not IN_CLONE:
        return None
    try:
        answer = child_process.run(DESCRIBE, capture=True)
    except OSError:
        return None
    return answer.out.strip() or None if answer.code == 0 else None


def server_of(folder: Path, host: str) -> dict[str, Any] | None:
    """What the launcher wrote of the server: in this run's folder, in that of the session's first run, or
    where `tokenswarm serve` serves this host now."""
    launched = os.environ.get("TOKENSWARM_RUN_DIR")
    for place in [folder, *([Path(launched)] if launched else [])]:
        if (place / SERVER).is_file():
            content: dict[str, Any] = json.loads((place / SERVER).read_text(encoding="utf-8"))
            return content
    return _serving(host)


def _serving(host: str) -> dict[str, Any] | None:
    """Of all servers that were ever launched the one that answers at `host`: its launcher lives still."""
    for path in results_folder().glob(f"*/{SERVER}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, psutil.Error):  # not one, or older
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if content["host"] == host and _lives(content["launcher"]):
                return content
    return None


def _lives(launcher: dict[str, Any]) -> bool:
    """Whether it is the process that it was. Raises psutil.Error where there is none of its number."""
    return bool(psutil.Process(launcher["pid"]).create_time() == launcher["began"])

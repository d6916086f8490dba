"""What a server's log says: its newest line worth showing, and why it died."""

import re
from pathlib import Path

TAIL_BYTES = 256 * 1024
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
PROCESS = re.compile(r"^\((?:[\w-]+) pid=\d+\)\s*")
STAMP = re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+\d\d-\d\d \d\d:\d\d:\d\d\s+(?:\[[^\]]*\]\s*)+")
TRACE = re.compile(r"^(?:Traceback |File \"|\^+$|~*\^+~*$|During handling|The above exception)")
REASON_WIDTH = 300
VALIDATION = re.compile(r"ValidationError: \d+ validation errors? for ")
ERROR = re.compile(r"^(?:[\w.]*(?:Error|Exception|Interrupt)\b: .+|.*\berror: .+)")
ARGUMENTS = re.compile(r"^\S+: error: ")  # argparse's; the program's name stands first
# Errors that only report that another process failed; the cause stands above them.
SECONDHAND = re.compile(
    r"(?:Engine core|WorkerProc) initialization failed|Executor failed|See (?:root cause above|stack trace)"
    r"|EngineDeadError|leaked |Bad file descriptor|Broken pipe|died unexpectedly"
)
# Whatever else goes wrong after it: a process without memory ends in many ways.
OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|out of memory|Free memory on device", re.IGNORECASE)


def read_lines(path: Path) -> list[str]:
    """The last lines of a log, without colours, process names, time stamps and empty lines."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in (plain(raw) for raw in re.split(r"[\r\n]+", text)) if line]


def plain(line: str) -> str:
    """One log line without what vLLM puts in front of it."""
    return STAMP.sub("", PROCESS.sub("", ANSI.sub("", line)).strip()).strip()


def newest(lines: list[str]) -> str:
    """The newest line that tells how far the server is; empty when there is none."""
    for line in reversed(lines):
        if len(line) > 3 and any(letter.isalpha() for letter in line) and not TRACE.match(line):
            return line
    return ""


def reason(lines: list[str]) -> str:
    """The server's own words for why it died: its last error that is not a consequence of another."""
    found = _cause(lines)
    if found is None:
        return newest(lines)
    line = lines[found]
    return _shorten(_validation(lines[found + 1 :]) if VALIDATION.search(line) else line)


def refuses(lines: list[str]) -> bool:
    """Whether the server died of its own arguments, as it would again."""
    found = _cause(lines)
    return found is not None and bool(ARGUMENTS.match(lines[found]) or VALIDATION.search(lines[found]))


def _cause(lines: list[str]) -> int | None:
    """The place of the last error that is not a consequence of another."""
    errors = [place for place, line in enumerate(lines) if ERROR.match(line)]
    full = [place for place in errors if OUT_OF_MEMORY.search(lines[place])]
    causes = [place for place in errors if not SECONDHAND.search(lines[place])]
    found = full or causes or errors
    return found[-1] if found else None


def _validation(lines: list[str]) -> str:
    """What pydantic says below its headline: the field's name, where there is one, and what is wrong."""
    words = []
    for line in lines[:2]:
        text, end, _ = line.partition(" [type=")
        words.append(text.removeprefix("Value error, "))
        if end:
            break
    return ": ".join(words)


def _shorten(text: str) -> str:
    return text if len(text) <= REASON_WIDTH else f"{text[:REASON_WIDTH].rsplit(' ', 1)[0]} …"

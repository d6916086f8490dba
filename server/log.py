"""What a server's log says: its newest line worth showing, and why it died."""

import re
from pathlib import Path

TAIL_BYTES = 256 * 1024
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
PROCESS = re.compile(r"^\((?:[\w-]+) pid=\d+\)\s*")
STAMP = re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+\d\d-\d\d \d\d:\d\d:\d\d\s+(?:\[[^\]]*\]\s*)+")
TRACE = re.compile(r"^(?:Traceback |File \"|\^+$|~*\^+~*$|During handling|The above exception)")
ERROR = re.compile(r"^(?:[\w.]*(?:Error|Exception|Interrupt)\b: .+|.*\berror: .+)")
# Errors that only report that another process failed; the cause stands above them.
SECONDHAND = re.compile(r"Engine core initialization failed|See root cause above|EngineDeadError|leaked ")


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
    errors = [line for line in lines if ERROR.match(line)]
    causes = [line for line in errors if not SECONDHAND.search(line)]
    if causes:
        return causes[-1]
    return errors[-1] if errors else newest(lines)

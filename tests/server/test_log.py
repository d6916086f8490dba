"""What a server's log is read as: its newest line, and why the server died."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import log

STAMP = "\x1b[1;36m(EngineCore pid=87)\x1b[0;0m INFO 11-24 19:53:39 [core.py:109] "
LOADING = STAMP + "Loading the model"
CAUSE = "(EngineCore pid=87) ERROR 11-24 19:53:40 [core.py:9] ValueError: head size 16 is not supported"
SECONDHAND = "(APIServer pid=80) RuntimeError: Engine core initialization failed. See root cause above."


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        (LOADING, "Loading the model"),
        (CAUSE, "ValueError: head size 16 is not supported"),
        ("  INFO:     Started server process [80]", "INFO:     Started server process [80]"),
        ("WARNING 11-24 19:53:39 [a.py:1] [b.py:2] twice", "twice"),
        ("", ""),
    ],
)
def test_a_line_without_what_stands_before_it(line: str, plain: str) -> None:
    assert log.plain(line) == plain


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([LOADING, CAUSE, LOADING, SECONDHAND], "ValueError: head size 16 is not supported"),
        (
            [
                "(Worker_TP1 pid=9) ERROR 11-24 19:53:40 [executor.py:9] ValueError: no such kernel",
                "(EngineCore pid=87) ERROR 11-24 19:53:41 [core.py:9] Exception: WorkerProc initialization "
                "failed due to an exception in a background process. See stack trace for root cause.",
                SECONDHAND,
            ],
            "ValueError: no such kernel",
        ),
        (
            [
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
                SECONDHAND,
                "RuntimeError: cancelled",
                "OSError: [Errno 9] Bad file descriptor",
            ],
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        ),
        ([CAUSE, "OSError: [Errno 9] Bad file descriptor"], "ValueError: head size 16 is not supported"),
        ([LOADING, SECONDHAND], "RuntimeError: Engine core initialization failed. See root cause above."),
        ([LOADING], "Loading the model"),
        (
            ["usage: api_server.py [-h]", "api_server.py: error: argument --dtype: invalid choice: 'x'"],
            "api_server.py: error: argument --dtype: invalid choice: 'x'",
        ),
        (
            [
                "Traceback (most recent call last):",
                '  File "x.py", line 3',
                "    ^^^^^",
                "torch.OutOfMemoryError: full",
            ],
            "torch.OutOfMemoryError: full",
        ),
        (
            [
                "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
                "  Value error, max_model_len (9) is too much. "
                + "Try less. " * 40
                + "[type=value_error, input=1]",
                "    For further information visit https://errors.pydantic.dev",
            ],
            "max_model_len (9) is too much. " + "Try less. " * 26 + "Try …",
        ),
        (
            [
                "pydantic_core._pydantic_core.ValidationError: 2 validation errors for CacheConfig",
                "block_size",
                "  Input should be 8, 16 or 32 [type=literal_error, input_value=7]",
            ],
            "block_size: Input should be 8, 16 or 32",
        ),
        ([], ""),
    ],
)
def test_why_a_server_died(tmp_path: Path, lines: list[str], why: str) -> None:
    path = tmp_path / "server.log"
    path.write_text("\n".join(lines))
    assert log.reason(log.read_lines(path)) == why


@pytest.mark.parametrize(
    ("lines", "refuses"),
    [
        (["api_server.py: error: argument --dtype: invalid choice: 'x'"], True),
        (
            ["pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig", "too much"],
            True,
        ),
        ([CAUSE, SECONDHAND], False),
        (["some error: of its own"], False),
        ([LOADING], False),
    ],
)
def test_a_server_that_its_arguments_ended_would_end_again(lines: list[str], refuses: bool) -> None:
    assert log.refuses(lines) is refuses


def test_the_newest_line_is_one_that_tells_something() -> None:
    assert log.newest(
        ["Loading", "Traceback (most recent call last):", '  File "x"'.strip(), "|||", "100%"]
    ) == ("Loading")
    assert log.newest([]) == ""


def test_a_progress_bar_counts_as_lines_and_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_text("first\n" + "x" * log.TAIL_BYTES + "\nshards 1/2\rshards 2/2\n\n")
    assert log.read_lines(path)[-2:] == ["shards 1/2", "shards 2/2"]
    assert "first" not in log.read_lines(path)
    assert log.read_lines(tmp_path / "none") == []


@given(st.binary(max_size=300))
def test_no_log_is_too_broken_to_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "server.log"
    path.write_bytes(content)
    lines = log.read_lines(path)
    assert all(line and "\n" not in line for line in lines)
    assert log.reason(lines) == "" or log.reason(lines) in lines

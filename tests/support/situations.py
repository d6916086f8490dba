"""A pytest plugin (`-p tests.support.situations`): hostile situations by kind, tried and right.

A situation is one hostile input in one place with its expected outcome: a row of a test's table, or an
example that hypothesis made. It prints one row for each kind.
"""

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

KINDS = {  # by file
    "tests/hostile/test_strangers.py": "strangers and forgeries on the workers' port",
    "tests/hostile/test_messages.py": "messages between master and workers",
    "tests/hostile/test_batches.py": "batches of records",
    "tests/hostile/test_streams.py": "streamed answers",
    "tests/hostile/test_side_answers.py": "the server's other answers",
    "tests/hostile/test_files.py": "scenarios, options and names",
    "tests/hostile/test_audited.py": "other tools' result files",
    "tests/hostile/test_secrets.py": "secrets",
    "tests/common/test_redact.py": "secrets",
    "tests/hostile/test_terminals.py": "what a terminal shows",
    "tests/common/test_terminal.py": "what a terminal shows",
    "tests/hostile/test_losses.py": "endings of a run",
    "tests/end_to_end/test_endings.py": "endings of a run",
    "tests/common/test_strictyaml.py": "YAML files",
    "tests/common/test_web_guard.py": "foreign pages and hosts",
    "tests/loadgen/web/test_foreign_sites.py": "foreign pages and hosts",
}
TRIED = "situations"  # the property of a test's report

tried: Counter[str] = Counter()
wrong: Counter[str] = Counter()


def counting(item: pytest.Item, test: Callable[..., Any]) -> Callable[..., Any]:
    """The function that hypothesis calls for each example, counted."""

    @functools.wraps(test)
    def counted(*args: Any, **kwargs: Any) -> Any:
        item.stash[EXAMPLES] = item.stash.get(EXAMPLES, 0) + 1
        return test(*args, **kwargs)

    return counted


EXAMPLES = pytest.StashKey[int]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    handle = getattr(getattr(item, "obj", None), "hypothesis", None)
    inner = getattr(handle, "inner_test", None)  # documented for plugins that wrap it
    if handle is not None and inner is not None:
        handle.inner_test = counting(item, inner)
    try:
        return (yield)
    finally:
        if handle is not None and inner is not None:
            handle.inner_test = inner
        item.user_properties.append((TRIED, item.stash.get(EXAMPLES, 1)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    kind = KINDS.get(report.nodeid.split("::")[0])
    if kind is None:
        return
    if report.when == "call" and not report.skipped:
        tried[kind] += sum(int(str(value)) for name, value in report.user_properties if name == TRIED)
    if report.failed:
        wrong[kind] += 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows = [
        (kind, tried[kind], tried[kind] - wrong[kind])
        for kind in dict.fromkeys(KINDS.values())
        if tried[kind]
    ]
    rows.append(("all", tried.total(), tried.total() - wrong.total()))
    terminalreporter.write_line("\n| kind | tried | right |\n|---|---|---|")
    for kind, count, right in rows:
        terminalreporter.write_line(f"| {kind} | {count:,} | {right:,} |")

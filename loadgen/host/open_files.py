"""What a process holds open, as far as it may be looked into. Linux only (proc(5))."""

import contextlib
import itertools
import os
from collections.abc import Iterator

MOST = 4096  # files of a process that are looked at, some 2 us each


def targets(pid: int, most: int = MOST) -> Iterator[str]:
    """Where its first descriptors lead. Raises OSError where it is gone or may not be looked into."""
    return _links(os.scandir(f"/proc/{pid}/fd"), most)


def _links(entries: "os._ScandirIterator[str]", most: int) -> Iterator[str]:
    with entries:
        for entry in itertools.islice(entries, most):
            with contextlib.suppress(OSError):  # closed meanwhile
                yield os.readlink(entry.path)  # noqa: PTH115 (of thousands)

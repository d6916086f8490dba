"""Which cores the load and its server get."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.usage import UsageError
from server.cores import Cores, share, siblings


@pytest.mark.parametrize(
    ("workers", "groups", "client", "server"),
    [
        (1, [[0], [1]], (1,), (0,)),
        (1, [[0, 1]], (1,), (0,)),  # two threads of the only core
        (1, [[0, 4], [1, 5], [2, 6], [3, 7]], (3, 7), (0, 1, 2, 4, 5, 6)),  # whole cores
        (3, [[0, 4], [1, 5], [2, 6], [3, 7]], (2, 3, 6, 7), (0, 1, 4, 5)),
        (7, [[0, 4], [1, 5], [2, 6], [3, 7]], (1, 2, 3, 4, 5, 6, 7), (0,)),
    ],
)
def test_the_load_has_the_last_cores(
    workers: int, groups: list[list[int]], client: tuple[int, ...], server: tuple[int, ...]
) -> None:
    assert share(workers, groups) == Cores(client, server)


@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 2))
def test_nobody_shares_and_nothing_is_left(workers: int, cores: int, threads: int) -> None:
    groups = [[core + cores * thread for thread in range(threads)] for core in range(cores)]
    if workers >= cores * threads:
        with pytest.raises(UsageError, match="cores, and there are"):
            share(workers, groups)
        return
    found = share(workers, groups)
    assert len(found.client) >= workers and found.server
    assert sorted(found.client + found.server) == list(range(cores * threads))


def test_this_machines_cores_are_each_in_one_group() -> None:
    assert sorted(cpu for group in siblings([0, 1, 10**6]) for cpu in group) == [0, 1, 10**6]

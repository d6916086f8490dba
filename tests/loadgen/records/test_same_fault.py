"""A run whose answers all fail alike from the first on is known for it."""

import pytest

from loadgen.records.outbox import pack
from loadgen.records.record import COMPLETED, FAILED, UNFINISHED, Record, to_table
from loadgen.records.same_fault import MOST, SameFault


def batch(*ends: tuple[str, str | None]) -> bytes:
    return pack(
        to_table([Record(k, 0, "w", 0.0, status, error=error) for k, (status, error) in enumerate(ends)])
    )


def test_the_reason_is_told_once_with_the_fiftieth() -> None:
    looks = SameFault()
    assert looks.look(batch(*[(FAILED, "HTTP 404")] * (MOST - 1))) is None
    assert looks.look(batch((FAILED, "HTTP 404"))) == "HTTP 404"
    assert looks.look(batch((FAILED, "HTTP 404"))) is None


@pytest.mark.parametrize("other", [(COMPLETED, None), (UNFINISHED, None), (FAILED, "HTTP 503")])
def test_one_other_answer_ends_the_looking(other: tuple[str, str | None]) -> None:
    looks = SameFault()
    assert looks.look(batch(*[(FAILED, "HTTP 404")] * 20, other)) is None
    assert looks.look(batch(*[(FAILED, "HTTP 404")] * 100)) is None


def test_a_batch_that_cannot_be_read_is_passed_over() -> None:
    looks = SameFault()
    assert looks.look(b"garbage") is None and looks.look(batch(*[(FAILED, "x")] * MOST)) == "x"

"""The six words for what may be concluded from a run, and their exit codes; imports nothing heavy."""

from enum import IntEnum


class Verdict(IntEnum):
    """What may be concluded, from all to nothing; the larger one wins."""

    VALID = 0  # none of the others
    TOO_SHORT = 1  # too few requests for a p99; all else stands
    SATURATED = 2  # the server fell behind, so latencies depend on how long the test ran
    CLIENT_LIMITED = 3  # requests left late or the worker's loop stalled
    DISTURBED = 4  # others took the cores, so nobody knows who would have kept up
    INVALID = 5  # our own measurement failed

    @property
    def label(self) -> str:
        return self.name.replace("_", "-")

    @property
    def exit_code(self) -> int:
        """0 valid, 3 saturated, 4 client-limited, 5 invalid, 6 too short, 8 disturbed (7: a gate)."""
        return (0, 6, 3, 4, 8, 5)[self]

"""Whether a run is of no use from its beginning: its first answers all failed for one reason."""

import io

import pyarrow as pa

from loadgen.records.record import FAILED

MOST = 50  # answers; a server that is merely starting up or busy gives others among them


class SameFault:
    """Look at each batch of records as it comes."""

    def __init__(self) -> None:
        self._seen, self._over = 0, False
        self._reason: str | None = None

    def look(self, content: bytes) -> str | None:
        """The reason, once; None before, and for good where one answer was another."""
        if self._over:
            return None
        try:
            table = pa.ipc.open_file(io.BytesIO(content)).read_all().select(["status", "error"])
        except (pa.ArrowException, KeyError):  # set aside later, with its own words
            return None
        for status, error in zip(table["status"].to_pylist(), table["error"].to_pylist(), strict=True):
            if status != FAILED or not error or self._reason not in (None, error):
                self._over = True
                return None
            self._reason, self._seen = error, self._seen + 1
        if self._seen < MOST:
            return None
        self._over = True
        return self._reason

"""A scenario's dataset as its schedule reads it: row by row, no further than it has to."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from common.usage import UsageError
from loadgen.workload.datasets import Row, read_rows
from loadgen.workload.scenario import Scenario


class Source:
    """The rows of the dataset. `notes`: what was done with rows that are not as they should be, and with how
    many so far."""

    def __init__(self, scenario: Scenario) -> None:
        assert scenario.dataset is not None
        self.dataset = scenario.dataset
        self.path = scenario.dataset.path
        self.notes: Counter[str] = Counter()
        self.remarks_on_times: list[str] = []
        self._sends_images = scenario.images is not None
        self._answer = scenario.output_tokens  # goes before the rows' own

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes for people, a line each."""
        return tuple(
            f"{self.path}: {count:,} row{'s' if count > 1 else ''} {text}"
            for text, count in self.notes.items()
        ) + tuple(f"{self.path}: {text}" for text in self.remarks_on_times)

    @property
    def but(self) -> str:
        """The notes, to follow a sentence that says that there is nothing."""
        if not self.notes:
            return ""
        return f" but {', '.join(f'{count:,} {text}' for text, count in self.notes.items())}"

    def first(self, count: int) -> list[Row]:
        """The first rows, `count` where there are as many."""
        return _numbered(list(islice(self._rows(), count)))

    def first_timed(self, count: int) -> tuple[list[Row], bool]:
        """The first rows, each with its time, and whether the file ends before `count` of them."""
        rows = _numbered(list(islice(self._timed(), count)))
        return rows, len(rows) < count

    def timed_below(self, limit: float, most: int) -> tuple[list[Row], bool]:
        """The rows whose time is below `limit` (s), up to `most` of them, and whether the file ends there."""
        rows: list[Row] = []
        for row in self._timed():
            if row.time is not None and row.time >= limit:  # rows come in the order of their times
                return _numbered(rows), False
            rows.append(row)
            if len(rows) == most:
                return _numbered(rows), False
        return _numbered(rows), True

    def row_of(self, prompt_tokens: int, output_tokens: int) -> Row | None:
        """The first row of these lengths."""
        own = (row for row in self._rows() if row.prompt_tokens == prompt_tokens)
        return next((row for row in own if self._answer or row.output_tokens == output_tokens), None)

    def _timed(self) -> Iterator[Row]:
        for row in self._rows():
            if row.time is None:
                raise UsageError(f"{self.path}: {self.dataset.format} data without times cannot be a trace")
            yield row

    def _rows(self) -> Iterator[Row]:
        most = self.dataset.max_tokens
        for row in read_rows(self.dataset.format, Path(self.path), self.dataset.sha256, self.notes):
            if most is not None and self._tokens(row) > most:
                self.notes[f"passed over: longer than dataset.max_tokens, {most:,}"] += 1
                continue
            if row.images and not self._sends_images:
                self.notes["with images, which are not sent; `images:` in the scenario sends some"] += 1
            yield row

    def _tokens(self, row: Row) -> float:
        """Of prompt and answer, at the most."""
        answer = self._answer.most if self._answer else row.output_tokens or 0
        return row.prompt_tokens + answer


def _numbered(rows: list[Row]) -> list[Row]:
    """The rows with their blocks numbered in the order in which they appear: a file's own ids may be any."""
    numbers: dict[int, int] = {}
    return [
        row._replace(blocks=tuple(numbers.setdefault(each, len(numbers)) for each in row.blocks))
        if row.blocks
        else row
        for row in rows
    ]

"""The importers by the content that they know: one class each, registered by a decorator."""

from abc import ABC, abstractmethod
from typing import ClassVar, TypeVar

from reports.runs.importers.imported import Imported
from reports.runs.importers.source import Source


class Importer(ABC):
    """Reads the files of one tool."""

    tool: ClassVar[str]  # as reports call it
    files: ClassVar[str]  # which of its files, for the line that says what can be read
    sums: ClassVar[bool] = False  # over requests, of which it holds none; passed over beside a file that does

    @abstractmethod
    def knows(self, source: Source) -> bool:
        """Whether the file is one of these, from its shape and the names of its keys alone."""

    @abstractmethod
    def read(self, source: Source) -> list[Imported]:
        """Each result in the file, in its order. Raises UsageError with the record and the reason."""


IMPORTERS: list[Importer] = []
Kind = TypeVar("Kind", bound=type[Importer])


def importer(kind: Kind) -> Kind:
    """Register a class; what is asked first is what was registered first."""
    IMPORTERS.append(kind())
    return kind


def find(source: Source) -> Importer | None:
    """The importer of a file, by its content."""
    return next((each for each in IMPORTERS if each.knows(source)), None)


def kinds() -> list[str]:
    """What can be read, one line for each."""
    return sorted(f"{each.tool} ({each.files})" for each in IMPORTERS)

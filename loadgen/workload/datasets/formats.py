"""The formats of datasets by name; each is registered by its module, a function from a file to its rows."""

from collections.abc import Callable, Iterator
from pathlib import Path

from common.registry import Registry
from loadgen.workload.datasets.row import Note, Row

FORMATS: Registry[Callable[[Path], Iterator[Row | Note]]] = Registry("dataset format")
"""A reader raises UsageError with file, row and reason at the first broken row."""

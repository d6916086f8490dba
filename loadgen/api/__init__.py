"""Kinds of API: what a request asks of each, and how its answer reads; no socket, no schedule."""

from loadgen.api.kind import KINDS, Kind, choose, path_of

__all__ = ["KINDS", "Kind", "choose", "path_of"]

KINDS.discover(__name__, __path__)

"""Things of one kind by name, each registered by the module that it stands in."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from common.usage import UsageError, unknown

Thing = TypeVar("Thing")
Kept = TypeVar("Kept")


def import_all(package: str, path: Iterable[str], prefix: str = "") -> None:
    """Import each module of a package whose name begins so, in the order of the alphabet."""
    for module in pkgutil.iter_modules(path, f"{package}."):
        if module.name.startswith(f"{package}.{prefix}"):
            importlib.import_module(module.name)


class Registry(Mapping[str, Thing]):
    """`what` they are, for messages: "arrival process". Names come in the order of the alphabet."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._things: dict[str, Thing] = {}

    def register(self, name: str) -> Callable[[Kept], Kept]:
        """A decorator: the class or function is known by this name. A name that is taken is a ValueError."""

        def keep(thing: Kept) -> Kept:
            if name in self._things:
                raise ValueError(f"{self._what} {name} is registered twice")
            self._things[name] = thing  # type: ignore[assignment]  # the caller's own type is kept
            return thing

        return keep

    def discover(self, package: str, path: Iterable[str], prefix: str = "") -> None:
        """Import each module of a package (its __name__ and __path__), so that it registers what it has.

        `prefix`: only those whose names begin so, where a package has others, too.
        """
        import_all(package, path, prefix)

    def __getitem__(self, name: str) -> Thing:
        """Raises UsageError, which lists those there are, for a name that is not registered."""
        try:
            return self._things[name]
        except KeyError:
            raise UsageError(unknown(self._what, name, self)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._things))

    def __len__(self) -> int:
        return len(self._things)

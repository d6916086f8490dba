"""The two classes through which Locust asks us: how many users there are, and which worker has them."""

import logging
from collections.abc import Callable
from typing import Any

from locust import LoadTestShape
from locust.dispatch import UsersDispatcher

Tick = tuple[int, float] | None  # users, and how many of them come per second; None: the run is over

logger = logging.getLogger(__name__)


class Shape(LoadTestShape):
    """Asks `ask`, the conductor's, once a second."""

    def __init__(self, ask: Callable[[], Tick]) -> None:
        super().__init__()
        self._ask = ask

    def tick(self) -> Tick:
        return self._ask()


class FixedDispatcher(UsersDispatcher):
    """A lane belongs to one worker: who joins late gets none, who is lost is not stood in for.

    `takes_part` tells by a worker's name whether it has a lane; no other gets a user.
    """

    def __init__(
        self, worker_nodes: list[Any], user_classes: list[Any], takes_part: Callable[[str], bool]
    ) -> None:
        super().__init__([node for node in worker_nodes if takes_part(node.id)], user_classes)

    def add_worker(self, worker_node: Any) -> None:
        logger.warning("worker %s joined late: it takes part from the next run", worker_node.id)

    def remove_worker(self, worker_node: Any) -> None:
        """The others keep their users."""

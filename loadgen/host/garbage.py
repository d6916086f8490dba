"""Python's garbage collector, held back while a worker takes stamps."""

import gc

NEVER = 2**31 - 1  # collections of the middle generation before the oldest one is walked


class Quiet:
    """From its making to `end`, nothing walks all that lives.

    A full collection takes 84 ms beside 10,000 open streams (Xeon, Python 3.11), every 5 s, and each stamp
    waits for it. It would find nothing: a request leaves no cycles behind. The two young generations are
    collected as ever, in 1 ms. Python 3.14 walks the old ones piece by piece, whatever the threshold.
    """

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()  # the schedule and the requests live on
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*self._thresholds[:2], NEVER)

    def end(self) -> None:
        """As it was before."""
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

"""For programs, called first: what is amiss before their other imports is one line, no traceback.

An old Python and packages that are not installed are named, and Ctrl-C while they still import ends them.
`common.usage.exit_code` brings KeyboardInterrupt back, once there is something to end in good order; in
Locust, master and workers have handlers of their own by then.
"""

import signal
import sys
from importlib.util import find_spec

_OLDEST = (3, 11)
_TYPICAL = "locust"  # where it is, the rest of requirements.txt is
_ADVICE = "`make setup` makes the environment, `. .venv/bin/activate` enters it"


def missing():  # type: ignore[no-untyped-def]  # an old Python must get this far
    """What a program lacks here; None: nothing."""
    if sys.version_info < _OLDEST:
        return f"Python {_OLDEST[0]}.{_OLDEST[1]} or newer is needed: {_ADVICE}"
    return None if find_spec(_TYPICAL) else f"its packages are not installed for this Python: {_ADVICE}"


def begin():  # type: ignore[no-untyped-def]
    """Exit with code 2 where something is missing; have Ctrl-C end the process without a traceback."""
    amiss = missing()
    if amiss:
        sys.stderr.write(f"tokenswarm: {amiss}\n")
        sys.exit(2)
    signal.signal(signal.SIGINT, signal.SIG_DFL)

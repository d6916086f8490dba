"""For programs, imported first: Ctrl-C while they still import ends them without a traceback.

`common.usage.exit_code` brings KeyboardInterrupt back, once there is something to end in good order.
"""

import signal
import sys

_program = getattr(sys.modules["__main__"], "__spec__", None)
if _program is not None and _program.name in ("campaign.__main__", "server.launch", "server.install"):
    signal.signal(signal.SIGINT, signal.SIG_DFL)

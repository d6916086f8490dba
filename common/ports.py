"""Free TCP ports on this machine."""

import random
import socket

# Below what Linux (from 32768) and macOS (from 49152) give to who asks for any port: what is found free
# stays so until its user binds it, unless another search draws the same number.
_NOBODYS = range(20_000, 32_768)
_TRIES = 1_000
_draw = random.SystemRandom()  # not seeded: programs that are seeded alike must not draw alike


def free_port() -> int:
    """One that nobody listens on now, another one each time. OSError where all are taken."""
    for _ in range(_TRIES):
        port = _draw.choice(_NOBODYS)
        if is_free(port):
            return port
    raise OSError(f"no free TCP port between {_NOBODYS.start} and {_NOBODYS.stop - 1}")


def is_free(port: int) -> bool:
    """Whether nobody listens on it, on any address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except (OSError, OverflowError):
            return False
    return True

"""A slow or lossy link between two network namespaces: two tap devices, and every frame held back or dropped.

    python -m bench.slowlink NAMESPACE DEVICE NAMESPACE DEVICE SECONDS SHARE

Prints "ready" once both devices are there; they go with the process. (The kernel's own netem would do the
same, but not every kernel has it.)
"""

import contextlib
import ctypes
import fcntl
import os
import random
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
CLONE_NEWNET = 0x40000000
FRAME = 65536


def tap(namespace: str, device: str) -> int:
    """A new tap device inside a namespace; its file descriptor works from anywhere."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as here, open(f"/var/run/netns/{namespace}") as there:  # noqa: PTH123
        _enter(libc, there.fileno())
        try:
            descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
        finally:
            _enter(libc, here.fileno())
    return descriptor


def _enter(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def relay(one: int, other: int, delay: float, loss: float) -> None:
    """Carry frames both ways, each `delay` seconds late, in their order; the share `loss` is dropped, always
    the same ones."""
    waiting: deque[tuple[float, int, bytes]] = deque()
    dice = random.Random(1)
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, target, frame = waiting.popleft()
            with contextlib.suppress(OSError):  # the link is not up yet: a wire loses such frames, too
                os.write(target, frame)
        wait = max(0.0, waiting[0][0] - now) if waiting else None
        for ready in select.select([one, other], [], [], wait)[0]:
            frame = os.read(ready, FRAME)
            if dice.random() >= loss:
                waiting.append((time.monotonic() + delay, other if ready == one else one, frame))


if __name__ == "__main__":
    near, far = tap(*sys.argv[1:3]), tap(*sys.argv[3:5])
    print("ready", flush=True)
    relay(near, far, *map(float, sys.argv[5:7]))

"""What the kernel alone asks of a client: the cheapest that can stamp every chunk when it comes.

    tokenswarm bench floor --port 8000 --rate 20 --seconds 25

One epoll loop on plain sockets: it sends, waits, receives and stamps, and knows nothing of HTTP, events or
records. Prints the CPU seconds per 1,000 chunks; a real client cannot cost less on the machine.
"""

import os
import select
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from array import array

import numpy as np

from bench.process import metronome
from common.places import ROOT
from common.usage import UsageError

TOKENS = 150  # of each answer, as bench/accuracy.yaml has it
_BODY = (
    b'{"model":"metronome","stream":true,"max_tokens":%d,"messages":[{"role":"user","content":"x"}]}' % TOKENS
)
_REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: floor\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)
_END = b"\r\n0\r\n\r\n"
_CHUNK = 65536


def drive(port: int, rate: float, seconds: float) -> tuple[float, int]:
    """Poisson arrivals of `rate`/s for `seconds`; CPU seconds used and chunks stamped."""
    gaps = np.random.default_rng(1).exponential(1 / rate, int(2 * rate * seconds) + 10)
    due = np.cumsum(gaps)[np.cumsum(gaps) < seconds].tolist()
    poll, idle, busy = select.epoll(), list[socket.socket](), dict[int, socket.socket]()
    stamps, start, used = array("d"), time.perf_counter(), time.process_time()
    sent = 0
    while sent < len(due) or busy:
        now = time.perf_counter() - start
        while sent < len(due) and due[sent] <= now:
            sock = idle.pop() if idle else _connect(port, poll)
            sock.sendall(_REQUEST)
            busy[sock.fileno()] = sock
            sent += 1
        wait = max(due[sent] - now, 0.0) if sent < len(due) else 1.0
        for fd, _ in poll.poll(wait):
            data = busy[fd].recv(_CHUNK)
            stamps.append(time.perf_counter())
            if not data:
                raise UsageError("the server closed a connection under way")
            if data.endswith(_END):
                idle.append(busy.pop(fd))
    return time.process_time() - used, len(stamps)


def measure(rate: float, seconds: float, cpus: tuple[int, int] | None) -> float:
    """CPU s per 1,000 chunks in a process of its own, client and metronome on the cores `cpus`."""
    with metronome("--ttft", "0.08", "--tpot", "0.02", cpu=cpus[1] if cpus else None) as server:
        port = server.url.rpartition(":")[2]
        words = ["--port", port, "--rate", str(rate), "--seconds", str(seconds)]
        words += ["--cpu", str(cpus[0])] if cpus else []
        done = subprocess.run(
            [sys.executable, "-m", "tokenswarm", "bench", "floor", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise UsageError(f"the bare client failed: {done.stderr.strip()[-200:]}")
    return float(done.stdout)


def _connect(port: int, poll: select.epoll) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    poll.register(sock.fileno(), select.EPOLLIN)
    return sock


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--port", type=int, required=True, help="of a metronome on this machine")
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--cpu", type=int, help="the core to run on")


def run(args: Namespace) -> int:
    """Print CPU seconds per 1,000 chunks."""
    if args.cpu is not None:
        os.sched_setaffinity(0, {args.cpu})
    cpu, chunks = drive(args.port, args.rate, args.seconds)
    print(f"{1000 * cpu / chunks:.5f}")
    return 0

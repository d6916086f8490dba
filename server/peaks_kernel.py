"""Measures what this CPU can do, with the library that the server computes with. Runs alone, in the
server's environment: python server/peaks_kernel.py DTYPE. Prints one JSON object.

- Bandwidth: STREAM's triad a = b + s * c over arrays far larger than the caches, counted as STREAM counts
  it, 3 arrays once each (McCalpin 1995), and a read of two arrays (dot product); the faster one stands.
- Matrix rate: the product of two square matrices, 2 n^3 FLOP; the best of the sizes stands.

- Decoding: steps of a small Llama's operations over a batch, with its sampling; tokens per second. It is no
  peak of the hardware, but the pace by which server/shape.py chooses the CPU model's shape.

Each is the best of several passes, since other work can only make a pass slower.
"""

import json
import os
import sys
import time
from collections.abc import Callable

import torch

ARRAY_BYTES_AT_MOST = 2**30
SIZES = (1024, 2048, 4096)
SECONDS_EACH = 2.0
ROUNDS = 4  # of decoding: threads that another program holds up can slow a whole round a hundredfold
LAYERS, HIDDEN, INNER, KEYS, VOCABULARY, BATCH = 12, 64, 128, 32, 8192, 26  # of the CPU model, as it began


def main() -> None:
    dtype = getattr(torch, sys.argv[1])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(cores)
    with torch.inference_mode():
        bandwidths = stream()
        rates = matrix(dtype)
        pace = decode()
    kernel = max(bandwidths, key=lambda name: bandwidths[name])
    size = max(rates, key=lambda n: rates[n])
    found = {
        "peak_flops": rates[size],
        "peak_bytes_per_s": bandwidths[kernel],
        "threads": cores,
        "bandwidth_kernel": kernel,
        "matrix_size": size,
        "decode_tokens_per_s": pace,
        "torch": torch.__version__,
    }
    print(json.dumps(found))


def stream() -> dict[str, float]:
    """Bytes per second of each streaming kernel."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    count = min(ARRAY_BYTES_AT_MOST, memory // 24) // 4
    a, b, c = (torch.full((count,), value) for value in (0.0, 1.0, 2.0))
    triad = best(lambda: torch.add(b, c, alpha=3.0, out=a))
    dot = best(lambda: torch.dot(b, c))
    return {"triad": 3 * 4 * count / triad, "dot": 2 * 4 * count / dot}


def matrix(dtype: torch.dtype) -> dict[int, float]:
    """FLOP per second of a square matrix product, by its size."""
    rates = {}
    for n in SIZES:
        a, b = torch.rand(n, n).to(dtype), torch.rand(n, n).to(dtype)
        out = torch.empty(n, n, dtype=dtype)
        rates[n] = 2 * n**3 / best(lambda: torch.mm(a, b, out=out))  # noqa: B023
    return rates


def decode() -> float:
    """Tokens per second of decode steps, without attention: what a step costs beside its cache."""
    shapes = ((HIDDEN, HIDDEN + 2 * KEYS), (HIDDEN, HIDDEN), (HIDDEN, 2 * INNER), (INNER, HIDDEN))
    layers = [[torch.rand(shape) / shape[0] for shape in shapes] for _ in range(LAYERS)]
    head, batch = torch.rand(HIDDEN, VOCABULARY), torch.rand(BATCH, HIDDEN)

    def step() -> None:
        x = batch
        for attention, out, up, down in layers:
            x = x + (normal(x) @ attention)[:, :HIDDEN] @ out
            gate, inner = (normal(x) @ up).chunk(2, -1)
            x = x + (torch.nn.functional.silu(gate) * inner) @ down
        torch.softmax(x @ head, -1).argmax(-1).tolist()

    return BATCH / min(best(step, SECONDS_EACH / ROUNDS) for _ in range(ROUNDS))


def normal(x: torch.Tensor) -> torch.Tensor:
    """RMS normalisation."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


def best(work: Callable[[], object], seconds: float = SECONDS_EACH) -> float:
    """Seconds of the fastest pass."""
    fastest, end = float("inf"), time.perf_counter() + seconds
    work()
    passes = 0
    while passes < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - start)
        passes += 1
    return fastest


if __name__ == "__main__":
    main()

"""What a report costs: `tokenswarm bench report` (time and peak memory for 1,200 and 1,000,000 records).

Makes a pair of synthetic runs (half of the records each, 20 tokens an answer, so 20 chunks in each record)
with the tests' generator, and runs `tokenswarm report` on them in a process of its own. `--alone`:
all records in one run. Bounds: 5 s and 30 s on 2 cores, 2 GiB.
"""

import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

from bench.synthetic import Shape, make_run
from common.usage import UsageError

SIZES = (1_200, 1_000_000)
SECONDS = {1_200: 5.0, 1_000_000: 30.0}
MEMORY = 2 * 2**30  # bytes
WARMUP = 5.0  # s


@dataclass(frozen=True)
class Cost:
    """One report. `peak`: bytes, of the largest of its processes."""

    records: int
    wall_s: float
    cpu_s: float
    peak: int

    def holds(self) -> bool:
        """Whether it is within the bounds of its size (those of the largest for other sizes)."""
        return self.wall_s <= SECONDS.get(self.records, SECONDS[SIZES[-1]]) and self.peak <= MEMORY


def make(results: Path, records: int, tokens: int, alone: bool) -> list[str]:
    """Write the runs; their names."""
    variants = ["baseline"] if alone else ["baseline", "optimized"]
    seconds = 60.0 if records <= 10_000 else 600.0
    rate = records / len(variants) / (seconds + WARMUP)
    names = []
    for number, variant in enumerate(variants):
        name = f"2026010{number + 1}T000000Z-{variant}"
        shape = Shape(
            rate=rate,
            duration=seconds,
            warmup=WARMUP,
            arrivals="constant",
            output=tokens,
            tpot=0.01 if number == 0 else 0.008,
            wobble=0.02,
            jitter=0.05,
            noise_seed=number,
            variant=variant,
        )
        make_run(results / name, shape)
        names.append(name)
    return names


def measure(results: Path, names: list[str], records: int) -> Cost:
    """Run the command and wait for it. Raises UsageError when it fails."""
    command = [sys.executable, "-m", "tokenswarm", "report", *names]
    environment = {**os.environ, "TOKENSWARM_RESULTS": str(results)}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UsageError(f"the report of {records} records failed: {errors.strip().splitlines()[-1:]}")
    return Cost(records, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("records", nargs="*", type=int, help=f"sizes (default: {' '.join(map(str, SIZES))})")
    parser.add_argument("--tokens", type=int, default=20, help="of each answer (default: 20)")
    parser.add_argument("--alone", action="store_true", help="one run, not a pair")


def run(given: Namespace) -> int:
    """Exit code 0 when the bounds hold, 1 when not."""
    sizes = given.records or list(SIZES)
    if min(sizes) < 200 or given.tokens < 2:
        raise UsageError("records must be 200 or more, --tokens 2 or more")
    print(f"{'records':>10}{'wall, s':>10}{'CPU, s':>10}{'peak, MiB':>12}")
    costs = []
    for records in sizes:
        with tempfile.TemporaryDirectory(prefix="bench-report-") as folder:
            names = make(Path(folder), records, given.tokens, given.alone)
            cost = measure(Path(folder), names, records)
        costs.append(cost)
        print(f"{records:>10,}{cost.wall_s:>10.1f}{cost.cpu_s:>10.1f}{cost.peak / 2**20:>12.0f}", flush=True)
    return 0 if all(cost.holds() for cost in costs) else 1

"""What the start of a run costs: `tokenswarm bench start` makes a schedule and a worker's requests.

CPU time and resident memory of the master's part (the arrivals and their digest) and of a worker's (its own
arrivals, and the requests that are made before the run: 256 MiB at most).
"""

import resource
from argparse import ArgumentParser, Namespace
from time import process_time

from common.usage import UsageError
from loadgen.api.kind import EXTENSIONS
from loadgen.protocol.messages import Plan
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import MOST_ARRIVALS, Schedule, schedule
from loadgen.workload.vocabulary import estimate_vocabulary

RATE = 500.0  # 1/s; how long the run would last matters to no cost


def _plan(load: Schedule, lanes: int) -> Plan:
    return Plan(
        run="start",
        scenario=load.scenario.to_dict(),
        seed=load.seed,
        checksum=load.checksum,
        lanes=lanes,
        host="http://127.0.0.1:9",
        model="none",
        vllm=True,
        extensions=list(EXTENSIONS),
        vocabulary=estimate_vocabulary().to_dict(),
        verify=True,
        keep_text=False,
        with_key=True,
        headers=[],
    )


def _resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--arrivals", type=int, default=1_000_000)
    parser.add_argument("--scenario", default="chat-medium")
    parser.add_argument("--workers", type=int, default=1)


def run(args: Namespace) -> int:
    """Make both, print what each took."""
    # Locust replaces parts of the standard library as it is imported, under whoever lists all commands.
    from locust.env import Environment

    from loadgen.client.client import Client
    from loadgen.client.transport import Host
    from loadgen.user import OpenLoopUser
    from loadgen.worker.lane import Lane

    if not 0 < args.arrivals <= MOST_ARRIVALS or args.workers < 1:
        raise UsageError(f"--arrivals must be 1 to {MOST_ARRIVALS:,}, --workers 1 or more")
    named = Scenario.load(args.scenario)
    scenario = named.with_overrides(rate=RATE, duration=args.arrivals / RATE, warmup=0)
    began = process_time()
    load = schedule(scenario, 1)
    digest, plan = load.digest, _plan(load, args.workers)
    count, master, held = len(load.arrivals), process_time() - began, _resident()
    del load
    began, client = process_time(), Client(Host.resolve(plan.host))
    lane = Lane(Environment(), plan, 0, client)
    user = type("ChatUser", (OpenLoopUser,), {})  # as locustfiles/chat.py has it
    lane.prepare(user(Environment()), lambda record: None)
    worker = process_time() - began
    client.close()
    print(f"{count:,} arrivals of {scenario.name}, digest {digest[:12]}")
    print(f"master: {master:.2f} s of CPU time, {held:.0f} MiB")
    print(
        f"worker 1 of {args.workers}: {worker:.2f} s for its {len(lane.arrivals):,} arrivals and "
        f"{lane.made:,} requests made before the run, {_resident():.0f} MiB in all"
    )
    return 0

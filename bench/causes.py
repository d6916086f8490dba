"""The causes that `bench.blame` plants, an entry each: what is done, who is to blame, what a run must say."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.request import urlopen

import psutil

from bench.hosts import Link
from bench.stands import Place, Stand, alone, behind, far, on_cpu, two_engines

Plant = contextlib.AbstractContextManager[None]
BEGUN = 3  # requests in flight: more than the one that is tried before a run
CALM = ("VALID", "TOO-SHORT")
ANY = ("*",)
RATE, SECONDS = 70.0, 8.0  # 560 requests in the window: enough for a p99
SPARE = 40.0  # requests/s; two cores then have room for a gateway, too
RELAYED = 4.0  # requests/s; at 8 the relay and the server on another host take 14 % of 2 cores, as others
DELAYED = 2.0  # the same of a link that holds each frame back, which costs more
_BURN = """
import sys, time
share = float(sys.argv[1])
while True:
    end = time.monotonic() + 0.1 * share
    while time.monotonic() < end:
        pass
    time.sleep(0.1 * (1 - share))
"""


@dataclass(frozen=True)
class Cause:
    """A run is right that ends with one of `verdicts`, whose rules `fails` fail (of those that blame somebody
    no others, but for `may`), and that says `says`, in a rule or as the gateway's name."""

    told: str
    culprit: str
    place: Place
    verdicts: Sequence[str] = CALM
    fails: Sequence[str] = ()
    may: Sequence[str] = ()
    says: str = ""
    stalls: bool = False  # whether the report names a stall
    same_pace: bool = False  # whether TPOT must be the metronome's, to 2 %
    plant: Callable[[Stand], Plant] = lambda stand: contextlib.nullcontext()
    rate: float = RATE
    seconds: float = SECONDS
    burns: bool = False
    drain: float = 30.0


@contextlib.contextmanager
def burning(share: float, each_core: int = 1) -> Iterator[None]:
    """Other programs, so many for each core, of which each wants this share of one."""
    programs = [
        subprocess.Popen([sys.executable, "-c", _BURN, str(share)], start_new_session=True)
        for _ in range(each_core * (os.cpu_count() or 1))
    ]
    try:
        yield
    finally:
        for each in programs:
            each.kill()
            each.wait()


@contextlib.contextmanager
def halted(*pids: int) -> Iterator[None]:
    """Processes that stand still."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def for_a_while(stand: Stand, seconds: float, cause: Callable[[], Plant]) -> Iterator[None]:
    """The cause for so long, from three seconds after the load has begun on, while requests are in flight."""
    over = threading.Event()

    def wait() -> None:
        if _begun(stand.url, over) and not over.wait(3.0) and _begun(stand.url, over):
            with cause():
                over.wait(seconds)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _begun(url: str, over: threading.Event) -> bool:
    """Whether so many are in flight, once that is so; not when it is over before."""
    while not over.wait(0.1):
        if _in_flight(url) >= BEGUN:
            return True
    return False


def _in_flight(url: str) -> float:
    with contextlib.suppress(OSError, ValueError), urlopen(f"{url}/metrics", timeout=2) as answer:
        lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running"))
    return 0.0


def _worker() -> int:
    """The process of the one worker, which the load generator that this process started has started."""
    drives = [each for each in psutil.Process().children() if "locust" in each.cmdline()]
    return drives[0].children()[0].pid


def _burns(told: str, place: Place, plant: Callable[[Stand], Plant], rate: float = RATE) -> Cause:
    return Cause(told, "machine", place, ["DISTURBED"], may=ANY, plant=plant, burns=True, rate=rate)


def _stops(place: Place, rate: float = RATE) -> Cause:
    def plant(stand: Stand) -> Plant:
        return for_a_while(stand, 3.0, lambda: halted(*stand.server))

    verdicts = (*CALM, "SATURATED", "INVALID")
    told = f"the {'real vLLM (CPU)' if place.shared else 'server'} stands still for 3 s"
    return Cause(told, "server", place, verdicts, may=ANY, stalls=True, plant=plant, rate=rate)


def _between(name: str, cured: str = "", told: str = "as packaged", **expected: object) -> Cause:
    """Behind a gateway, as packaged or cured; nobody is blamed where nothing else is expected."""
    given = {"culprit": "nobody", "rate": SPARE} | expected
    options = {key: given.pop(key) for key in ("own_metrics",) if key in given}
    place = behind(name, more=cured, **options)  # type: ignore[arg-type]
    return Cause(f"{name} between, {told}", place=place, **given)  # type: ignore[arg-type]


_NO_DELAY = "option http-no-delay"
CAUSES: dict[str, Cause] = {
    "nothing": Cause("nothing", "nobody", alone()),
    "burn-60": _burns(
        "another program takes 60 % of the cores all through", alone(), lambda stand: burning(0.6)
    ),
    "burn-30": _burns(
        "another program takes 30 % of the cores all through", alone(), lambda stand: burning(0.3)
    ),
    "burn-4s": _burns(
        "another program takes 60 % of the cores for 4 s",
        alone(),
        lambda stand: for_a_while(stand, 4.0, lambda: burning(0.6)),
    ),
    "server-stops": _stops(alone()),
    "client-stops": Cause(
        "the worker stands still for 3 s",
        "client",
        alone(),
        ["CLIENT-LIMITED"],
        may=ANY,
        plant=lambda stand: for_a_while(stand, 3.0, lambda: halted(_worker())),
    ),
    "service-limit": Cause(
        "the server begins 50 requests/s at most", "server", alone("--capacity", "50"), ["SATURATED"]
    ),
    "batch-cap": Cause(
        "the server serves 120 requests at a time, of 214 that come",
        "server",
        alone("--slots", "120"),
        ["SATURATED"],
    ),
    "slow-start": Cause(
        "the server's first answers begin when it is warm, after 2.5 s",
        "server",
        alone("--cold", "2.5"),
        ["INVALID"],
        ["warmup_long_enough"],
    ),
    "empty": Cause(
        "the server answers one request in twenty without a token",
        "server",
        alone("--empty", "0.05"),
        ["INVALID"],
        ["empty_answers"],
    ),
    "speculation": Cause(
        "chunks of 5 tokens (TPOT is as it was)", "nobody", alone("--chunk", "5"), same_pace=True
    ),
    "refusals": Cause(
        "the server fails one request in twenty",
        "server",
        alone("--fail", "0.05"),
        ["INVALID"],
        ["failed_share"],
    ),
    "haproxy": _between(
        "HAProxy", culprit="gateway", fails=["stream_lumps", "outside_server"], says=_NO_DELAY
    ),
    "haproxy-cured": _between("HAProxy", _NO_DELAY, f"with `{_NO_DELAY}`"),
    "nginx": _between("nginx", says="nginx"),
    "varnish": _between("Varnish", culprit="gateway", says="a cache answered for /metrics"),
    "varnish-cured": _between(
        "Varnish",
        'sub vcl_recv { if (req.url ~ "^/metrics") { return (pass); } }',
        "with /metrics passed",
        says="varnish",
    ),
    "caddy": _between("Caddy", says="Caddy"),
    "apache-full": _between(
        "Apache",
        culprit="gateway",
        rate=RATE,
        told="its 150 workers taken",
        verdicts=["SATURATED"],
        fails=["outside_server"],
        says="The server itself was not at its limit",
    ),
    "litellm": _between("LiteLLM", culprit="gateway", rate=2.0, fails=["outside_server"], own_metrics=True),
    # 25 to 55 ms before an engine that takes its time to tokenize; the metronome does not.
    "vllm-router": _between("vllm-router", rate=20.0, own_metrics=True),
    "vllm-router-cured": _between(
        "vllm-router",
        "--policy round_robin",
        "with `--policy round_robin`",
        rate=20.0,
        own_metrics=True,
    ),
    "gateway-timeout": Cause(
        "HAProxy with a time-out of 30 s before a server that answers after 40 s",
        "gateway",
        behind("HAProxy", "--cold", "40", more=f"timeout server 30000\n {_NO_DELAY}"),
        ["INVALID"],
        ["gateway_timeout", "failed_share"],
        may=["enough_requests"],
        says="broke off after 30 s",
        rate=10.0,
        drain=45.0,
    ),
    "two-engines": Cause(
        "two engines behind one address, one takes twice as long",
        "server",
        two_engines("--ttft", "0.16", "--tpot", "0.04"),
        fails=["engines_alike"],
        says="address",
        rate=SPARE,
    ),
    "delay": Cause(
        "200 ms of delay on the network",
        "network",
        far(Link(delay=0.1)),
        fails=["outside_server"],
        says="round trip of the network 200",
        rate=DELAYED,
    ),
    "loss": Cause(
        "2 % of the packets lost",
        "network",
        far(Link(loss=0.02)),
        fails=["network_loss"],
        may=["outside_server"],
        rate=RELAYED,
    ),
    "cpu-nothing": Cause("nothing, on the real vLLM (CPU)", "nobody", on_cpu(), rate=6.0),
    "cpu-burn": _burns(
        "other programs, four a core, want 60 % of one each, the real vLLM (CPU) runs",
        on_cpu(),
        lambda stand: burning(0.6, each_core=4),  # one gets 4 to 10 % beside vLLM's threads (Linux 6.18)
        rate=6.0,
    ),
    "cpu-stops": _stops(on_cpu(), rate=12.0),  # a stall shows in two answers that stream, or more
}

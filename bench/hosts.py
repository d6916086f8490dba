"""Hosts of our own: network namespaces on one bridge, each with an address and, if wanted, a bad link."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common.places import ROOT

NETWORK = "10.77.13"


def reason_against() -> str | None:
    """Why namespaces cannot be made here; None where they can."""
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    if shutil.which("ip") is None:
        return "ip not found (Debian: apt install iproute2)"
    if not Path("/dev/net/tun").exists():
        return "this kernel has no tap devices (/dev/net/tun), which the slow link is made of"
    probe = f"tsw{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", probe], check=False)
    return None


@dataclass(frozen=True)
class Link:
    """What becomes of the frames that a host sends and gets: each is late by `delay` s, a share is lost."""

    delay: float = 0.0
    loss: float = 0.0


class Hosts:
    """`names` become hosts, those in `links` behind such a link. Gone when the context ends."""

    def __init__(self, names: list[str], links: dict[str, Link] | None = None) -> None:
        self._names, self._links = names, links or {}
        self._hub = f"tsw{os.getpid()}hub"
        self._relays: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Hosts":
        try:
            _ip("netns", "add", self._hub)
            _inside(self._hub, "ip", "link", "add", "br0", "type", "bridge")
            _inside(self._hub, "ip", "link", "set", "br0", "up")
            for number, name in enumerate(self._names, 1):
                self._add(number, name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for relay in self._relays:
            relay.kill()
            relay.communicate()
        for space in [*map(self._space, self._names), self._hub]:
            if Path("/var/run/netns", space).exists():
                _ip("netns", "del", space)

    def address(self, name: str) -> str:
        return f"{NETWORK}.{self._names.index(name) + 1}"

    def prefix(self, name: str) -> tuple[str, ...]:
        """What to put before a command so that it runs on this host."""
        return ("ip", "netns", "exec", self._space(name))

    def _space(self, name: str) -> str:
        return f"tsw{os.getpid()}{name}"

    def _add(self, number: int, name: str) -> None:
        space, port = self._space(name), f"port{number}"
        _ip("netns", "add", space)
        if name in self._links:
            bad = self._links[name]
            self._relays.append(_slow_link(self._hub, port, space, "eth0", bad.delay, bad.loss))
        else:
            peer = ("type", "veth", "peer", "name", "eth0", "netns", space)
            _inside(self._hub, "ip", "link", "add", port, *peer)
        _inside(self._hub, "ip", "link", "set", port, "master", "br0", "up")
        _inside(space, "ip", "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
        for link in ("eth0", "lo"):
            _inside(space, "ip", "link", "set", link, "up")


def _slow_link(*ends_and_link: str | float) -> "subprocess.Popen[str]":
    """Join two namespaces by a slow link; it is there when this returns."""
    command = [sys.executable, "-m", "bench.slowlink", *map(str, ends_and_link)]
    relay = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert relay.stdout is not None
    if relay.stdout.readline().strip() != "ready":
        raise OSError("the slow link could not be made; see its traceback above")
    return relay


def _inside(space: str, *command: str) -> None:
    _ip("netns", "exec", space, *command)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")

"""What stands between us and the server, by the headers of its answers: names as they were sent."""

from collections.abc import Mapping

SERVERS = ("uvicorn", "hypercorn", "granian")  # `Server` of engines and their front ends, not of gateways
TELLING = ("via", "server", "x-varnish", "x-cache", "x-served-by", "cf-ray", "x-envoy-upstream-service-time")
KEPT = ("age", *TELLING)
LONGEST = 100  # characters of a header that are kept


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    """Of an answer's headers those that tell of a gateway, by their names in lower case."""
    found = {name.lower(): value for name, value in headers.items()}
    return {
        name: found[name][:LONGEST] for name in KEPT if found.get(name, "").isprintable() and found.get(name)
    }


def named(headers: Mapping[str, str]) -> str | None:
    """What names itself between us and the server; None where nothing does (HAProxy never does)."""
    said = {name: headers[name] for name in TELLING if name in headers}
    if said.get("server", "").lower().startswith(SERVERS):
        del said["server"]
    return ", ".join(f"{name}: {value}" for name, value in said.items()) or None


def age(headers: Mapping[str, str]) -> float | None:
    """Seconds for which an answer has lain in a cache; None where it does not say so."""
    # Of Varnish's two numbers the second is that of the request that the answer was made for.
    hit = len(headers.get("x-varnish", "").split()) > 1
    text = headers.get("age", "0" if hit else "")
    return float(text) if text.isdigit() and len(text) < 10 and (hit or int(text) > 0) else None

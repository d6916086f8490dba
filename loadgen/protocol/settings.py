"""One run as it was asked for, on a command line or in the web UI: checked, each mistake named."""

import json
import math
import os
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.redact import HEADERS_VARIABLE, header_lines
from common.usage import UsageError
from loadgen.api import KINDS
from loadgen.workload.lengths import Lengths
from loadgen.workload.scenario import HIGHEST_SEED, Scenario
from loadgen.workload.schedule import require_possible

DEFAULT_SCENARIO = "chat-medium"
KEY_VARIABLE = "OPENAI_API_KEY"
KEY_WITHHELD = f"without {KEY_VARIABLE}, which goes only to the host of the command line, not to this one"
PORTS = {"http": 80, "https": 443}
RESERVED_HEADERS = (
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "x-request-id",
)
LONGEST_KEY, LONGEST_VALUE, LONGEST_NOTE = 60, 200, 1000  # characters
ALLOWABLE = ("too-short", "saturated", "client-limited", "disturbed")  # as `reports judge` has it


@dataclass(frozen=True)
class Settings:
    """One run, as asked for."""

    scenario: Scenario
    seed: int
    host: str
    metrics_hosts: tuple[str, ...]  # of the engines behind the host; none: the host's own /metrics
    direct: str | None  # the server itself, where the host is a gateway
    model: str | None  # None: the only one that the server has
    tokenizer: Path | None  # a folder with tokenizer.json, where the server has no /tokenize
    verify: bool | str  # TLS: whether to check, or the file of an authority
    keep_text: bool
    allow: str  # verdicts that exit with 0
    keep_going: bool  # although the server refuses the request
    stop_when_saturated: bool  # beyond doubt: loadgen.master.overload
    labels: dict[str, str]  # what its user calls the run, for reports
    note: str | None
    with_key: bool = True  # whether requests carry the key


@dataclass(frozen=True)
class Subject:
    """What is under test, as the launcher named it; without one, by the host alone."""

    variant: str
    target: str | None
    workers_why: str | None = None  # why there are so many workers, where nobody said how many

    @classmethod
    def of_environment(cls) -> "Subject":
        variant, target, workers = (
            os.environ.get(f"TOKENSWARM_{name}") or None for name in ("VARIANT", "TARGET", "WORKERS")
        )
        return cls(variant or "unnamed", target, workers)


def settings_of(values: Mapping[str, Any], host: str | None) -> Settings:
    """What the options (by name, as texts or empty) add up to. Raises UsageError, naming the option."""
    if not host:
        raise UsageError("no server is named: give --host http://127.0.0.1:8000")
    address, mark, query = host.partition("?")
    host = address.rstrip("/").removesuffix("/v1") + mark + query  # "/v1": as OpenAI's clients want it
    direct = str(values.get("direct") or "").strip().rstrip("/").removesuffix("/v1") or None
    if direct == host:
        raise UsageError("--direct: is the host itself; it names the server behind it")
    scenario = scenario_of(values)
    _check_allowed(values["allow"])
    seed = _seed(values)
    metrics_hosts = _addresses(str(values.get("metrics_host") or ""))
    return Settings(
        scenario=scenario,
        seed=scenario.seed if seed is None else seed,
        host=host,
        metrics_hosts=metrics_hosts,
        direct=direct,
        model=values["model"] or None,
        tokenizer=Path(values["tokenizer"]) if values["tokenizer"] else None,
        verify=_verify(values["ca_file"], values["insecure"], (host, *metrics_hosts, direct or "")),
        keep_text=bool(values["keep_text"]),
        allow=values["allow"],
        keep_going=bool(values.get("keep_going")),
        stop_when_saturated=stops_when_saturated(values),
        labels=labels_of(values.get("label")),
        note=_note(values.get("note")),
    )


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(each.strip().rstrip("/") for each in text.split(",") if each.strip())


def scenario_of(values: Mapping[str, Any]) -> Scenario:
    """The scenario with what the options change in it. Raises UsageError, naming the option.

    The seed is no part of it, but a wrong one is named here too, like a wrong --stop-when-saturated: before a
    server is started for it.
    """
    _seed(values)
    stops_when_saturated(values)
    scenario = Scenario.load(str(values.get("scenario") or DEFAULT_SCENARIO)).with_overrides(
        rate=_number(values, "rps", _positive),
        duration=_number(values, "duration", _positive),
        warmup=_number(values, "warmup", _not_negative),
        drain=_number(values, "drain", _not_negative),
        timeout=_number(values, "timeout", _positive),
        arrivals=str(values.get("arrivals") or "").strip() or None,
        concurrency=_whole(values, "concurrency", 1),
        max_concurrency=_whole(values, "max_concurrency", 1),
        prompt_tokens=_lengths(values, "input_tokens"),
        output_tokens=_lengths(values, "output_tokens"),
        slo=_slo(values),
        request=_request(values),
    )
    if scenario.request and scenario.request.api:
        KINDS[scenario.request.api]  # names those there are
    require_possible(scenario)
    return scenario


def stops_when_saturated(values: Mapping[str, Any]) -> bool:
    """What --stop-when-saturated says. Raises UsageError."""
    given = values.get("stop_when_saturated") or "no"
    if given not in ("yes", "no"):
        raise UsageError(f"--stop-when-saturated: must be yes or no, is {given!r}")
    return bool(given == "yes")


def labels_of(given: Any) -> dict[str, str]:
    """What "rack=3, night run" means: {"rack": "3", "name": "night run"}. Raises UsageError."""
    found = {}
    for text in filter(None, (each.strip() for each in str(given or "").split(","))):
        key, mark, value = (each.strip() for each in (text if "=" in text else f"name={text}").partition("="))
        if not (key and value and len(key) <= LONGEST_KEY and len(value) <= LONGEST_VALUE):
            raise UsageError(
                f"--label {text[:LONGEST_KEY]}: must be KEY=VALUE or a name, of at most {LONGEST_KEY} and "
                f"{LONGEST_VALUE} characters"
            )
        found[key] = value
    return found


def _note(given: Any) -> str | None:
    text = " ".join(str(given or "").split())
    if len(text) > LONGEST_NOTE:
        raise UsageError(f"--note: has {len(text)} characters; {LONGEST_NOTE} is the most")
    return text or None


def request_headers(with_key: bool = True) -> dict[str, str]:
    """What every request carries. The key comes from the environment alone and is never stored.

    Raises UsageError, which does not show it, for a key that HTTP cannot carry.
    """
    if not with_key:
        return {}
    key = os.environ.get(KEY_VARIABLE, "").strip()  # a mounted secret may end with \n
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"{KEY_VARIABLE}: holds a character that no HTTP header can carry")
    own = dict(_header(line) for line in header_lines())
    named = {name.lower() for name in own}
    return ({"Authorization": f"Bearer {key}"} if key and "authorization" not in named else {}) | own


def keep_headers(given: Sequence[str]) -> None:
    """Put `--header` into the environment, which this process's workers have, too: an argument would be seen
    by others and be kept. Raises UsageError for one that cannot be sent."""
    if given:
        for line in given:
            _header(line)
        os.environ[HEADERS_VARIABLE] = "\n".join(given)


def _header(line: str) -> tuple[str, str]:
    """Name and value of "Name: value". Raises UsageError, which does not show the value."""
    name, colon, value = line.partition(":")
    name, value = name.strip(), value.strip()
    if not (colon and re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", name)):
        raise UsageError("--header: must be 'Name: value'")
    if name.lower() in RESERVED_HEADERS:
        raise UsageError(f"--header {name}: is set by the load itself")
    if not (value and value.isascii() and value.isprintable()):
        raise UsageError(f"--header {name}: its value must be printable ASCII")
    return name, value


def key_withheld(with_key: bool) -> bool:
    """Whether there is a key that is not sent."""
    return not with_key and bool(request_headers())


def same_server(one: str, other: str | None) -> bool:
    """Whether two URLs lead to the same scheme, name and port."""

    def place(url: str) -> tuple[str, str | None, int]:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme, 0)

    try:
        return other is not None and place(one) == place(other)
    except ValueError:  # no URL at all; Host.resolve names what is wrong with it
        return False


def _check_allowed(text: str) -> None:
    """Now, for the verdict that it is about comes at the run's end."""
    for part in text.split(","):
        if part.strip() and part.strip().lower() not in ALLOWABLE:
            known = f"{', '.join(ALLOWABLE)} (an invalid run is never allowed)"
            raise UsageError(f"--allow {part.strip()}: unknown; there are: {known}")


def _verify(ca_file: str | None, insecure: Any, hosts: Sequence[str]) -> bool | str:
    """Whether https is checked, or the file of those who are trusted to vouch for the server."""
    given = [name for name, value in (("--ca-file", ca_file), ("--insecure", insecure)) if value]
    if len(given) == 2:
        raise UsageError("--ca-file and --insecure do not go together")
    if given and not any(each.lower().startswith("https:") for each in hosts):
        raise UsageError(f"{given[0]}: is for https:// hosts, and there is none")
    if insecure:
        return False
    if ca_file:
        try:
            ssl.create_default_context(cafile=ca_file)
        except OSError as error:  # ssl's own are, too
            why = error.strerror if not isinstance(error, ssl.SSLError) else "holds no certificate"
            raise UsageError(f"--ca-file {ca_file}: {why}") from None
    return ca_file or True


def _slo(values: Mapping[str, Any]) -> dict[str, float]:
    """The parts of the SLO that are given, in a scenario's units."""
    bounds = {
        "ttft": _number(values, "slo_ttft", _milliseconds),
        "tpot": _number(values, "slo_tpot", _milliseconds),
    }
    slo = {name: bound / 1000 for name, bound in bounds.items() if bound is not None}
    share = _number(values, "slo_share", _share)
    return slo if share is None else slo | {"share": share}


def _request(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of the request that are given, in a scenario's words."""
    given = {
        "api": str(values.get("api") or "").strip() or None,
        "endpoint": str(values.get("endpoint") or "").strip() or None,
        "temperature": _number(values, "temperature", _not_negative),
        "top_p": _number(values, "top_p", _share),
        "max_tokens_field": str(values.get("max_tokens_field") or "").strip() or None,
        "extra_body": _body(values),
        "ignore_eos": False if values.get("no_ignore_eos") in (True, "yes", "true", "on", "1") else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _body(values: Mapping[str, Any]) -> dict[str, Any] | None:
    text = str(values.get("extra_body") or "").strip()
    if not text:
        return None
    try:
        found = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--extra-body: must be a JSON object: {error}") from None
    if not isinstance(found, dict):
        raise UsageError("--extra-body: must be a JSON object, as in '{\"min_p\": 0.1}'")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _lengths(values: Mapping[str, Any], name: str) -> Lengths | None:
    given = str(values.get(name) or "").strip()
    try:
        return Lengths.of_text(given) if given else None
    except ValueError as error:
        raise UsageError(f"{_option(name)} {given!r}: {error}") from None


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _number(values: Mapping[str, Any], name: str, check: Callable[[str, float], None]) -> float | None:
    given = values.get(name)
    if given is None or str(given).strip() == "":
        return None
    try:
        number = float(given)
    except ValueError:
        raise UsageError(f"{_option(name)}: must be a number, is {given!r}") from None
    if not math.isfinite(number):
        raise UsageError(f"{_option(name)}: must be a finite number, is {given!r}")
    check(name, number)
    return number


def _positive(name: str, number: float) -> None:
    if number <= 0:
        raise UsageError(f"{_option(name)}: must be more than 0, is {number:g}")


def _not_negative(name: str, number: float) -> None:
    if number < 0:
        raise UsageError(f"{_option(name)}: must be 0 or more, is {number:g}")


def _milliseconds(name: str, number: float) -> None:
    if number < 1:  # most likely seconds were meant
        raise UsageError(f"{_option(name)}: is in ms, must be 1 or more, is {number:g}")


def _share(name: str, number: float) -> None:
    if not 0 < number <= 1:
        raise UsageError(f"{_option(name)}: must be more than 0 and at most 1 (0.99 is 99 %), is {number:g}")


def _seed(values: Mapping[str, Any]) -> int | None:
    seed = _whole(values, "seed", 0)
    if seed is not None and seed > HIGHEST_SEED:
        raise UsageError(f"--seed: must be {HIGHEST_SEED} or less, is {seed}")
    return seed


def _whole(values: Mapping[str, Any], name: str, least: int) -> int | None:
    given = values.get(name)
    if given is None or str(given).strip() == "":
        return None
    try:
        number = int(given)
    except ValueError:
        raise UsageError(f"{_option(name)}: must be a whole number, is {given!r}") from None
    if number < least:
        raise UsageError(f"{_option(name)}: must be {least} or more, is {number}")
    return number

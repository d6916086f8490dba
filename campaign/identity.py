"""What a campaign is: its steps in their order, and the name that the same request always gets."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from campaign.load import Load
from common.places import ROOT
from common.strictyaml import bare
from common.usage import UsageError
from server.deployment import read_deployment
from server.targets import resolve_name

NAME_LIMIT = 60  # of a campaign's name before its digest; the report's folder has the same name


def label(variant: str) -> str:
    """A variant's bare name, of letters, digits and '.-_' alone: fit for --host, folders, reports' names."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", bare(variant)).lstrip("._-") or "variant"


MOST_REPEATS = 1000  # of each variant; more were never finished


def check_variants(variants: Sequence[str], repeats: int) -> None:
    """Raise UsageError for what cannot be compared."""
    names = [bare(variant) for variant in variants]
    double = next((name for name in names if names.count(name) > 1), None)
    if double:
        raise UsageError(f"variant {double} is named twice; --repeats {repeats + 1} runs each more often")
    if len(variants) < 2:
        raise UsageError(f"name two variants or more to compare; there is only {' '.join(names) or 'none'}")
    if not 1 <= repeats <= MOST_REPEATS:
        raise UsageError(f"--repeats {repeats}: must be 1 to {MOST_REPEATS:,}")


def interleave(variants: Sequence[str], repeats: int) -> list[tuple[str, int]]:
    """(variant, repeat from 1) in the order A B A B: a drift of the machine meets all of them alike."""
    return [(variant, repeat) for repeat in range(1, repeats + 1) for variant in variants]


def request(kind: str, load: Load, variants: Sequence[str], repeats: int) -> dict[str, Any]:
    """All that decides what the runs will be, as JSON holds it; two equal requests are the same campaign."""
    whole: dict[str, Any] = {
        "kind": kind,
        "variants": list(variants),
        "repeats": repeats,
        "target": load.target,
        "host": load.host,
        "workers": load.workers,
        "options": load.options,
        "files": _files(load, variants),
    }
    if load.pin:
        whole["pin"] = True
    if load.host is None:
        whole["target"] = bare(resolve_name(load.target))
    return whole


def require_unchanged(begun: dict[str, Any], load: Load) -> None:
    """Raise UsageError for a file that is not what it was when the campaign began.

    Its runs would stand under one name with those of the other.
    """
    for name, content in _files(load, begun["variants"]).items():
        if json.dumps(content) != json.dumps(begun["files"][name]):
            raise UsageError(
                f"{name} changed since the campaign began; the same command begins another one with it, "
                "or goes on with this one once it is what it was"
            )


def _files(load: Load, variants: Sequence[str]) -> dict[str, Any]:
    """What the files hold, by their names."""
    try:
        script = (ROOT / load.locustfile).read_bytes()
    except OSError as error:
        raise UsageError(f"--locustfile {load.locustfile}: cannot be read: {error.strerror}") from None
    files: dict[str, Any] = {
        f"scenario {load.scenario}": load.resolved().to_dict(),
        f"locustfile {load.locustfile}": hashlib.sha256(script).hexdigest(),
    }
    if load.host is None:
        deployments = [read_deployment(variant, load.target, load.port) for variant in variants]
        files[f"target {load.target}"] = deployments[0].target.model_dump(mode="json")
        files |= {
            f"variant {variant}": each.variant.model_dump(mode="json")
            for variant, each in zip(variants, deployments, strict=True)
        }
    return files


def name_of(wanted: dict[str, Any]) -> str:
    """The name of a campaign: what it is, then a digest of the whole request."""
    text = json.dumps(wanted, sort_keys=True)
    told = "-".join([wanted["kind"], *map(label, wanted["variants"])])[:NAME_LIMIT].rstrip(".-_")
    return f"{told}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

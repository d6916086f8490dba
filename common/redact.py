"""What must be neither written nor printed: keys, headers' values, passwords in URLs; one redactor for all.

It knows the values of this process's secrets (OPENAI_API_KEY and other variables of such names), and what
looks like one. A text stays what it was otherwise, JSON included: no quote and no backslash is taken.
"""

import os
import re
from functools import lru_cache
from urllib.parse import quote

SECRET_NAME = r"(api_?key|(^|_)token|secret|password|passwd|credential)s?$"
HEADERS_VARIABLE = "TOKENSWARM_HEADERS"  # a line "Name: value" for each header of the load's requests
SHORTEST = 8  # characters of a known secret; a shorter one would be found inside of words
HIDDEN = "***"

_VALUE = r"[^\s'\"\\]"
_MARK = r"[:=]|--|bearer|sk-|hf_"  # one of these stands in whatever the patterns below match
_LOOKS = (  # each repetition that could begin at many places is bounded: a hostile text costs linear time
    rf"(\bbearer\s+){_VALUE}+",
    rf"(\b(?:proxy-)?authorization\s*:\s*){_VALUE}+(?:[ \t]+{_VALUE}+)?",
    rf"((?:api-key|-token|cookie)\s*:\s*)(?=[^\s'\"]{{0,200}}[a-z]){_VALUE}{{8,}}",
    # 'first token: ...' is none
    rf"(\btoken\s*:\s*)(?=[^\s'\"]{{0,200}}[a-z])(?=[^\s'\"]{{0,200}}\d){_VALUE}{{8,}}",
    rf"(--[\w-]{{0,40}}(?:api-key|token|password|secret)(?:=|\s+|[\\\"']+,\s*[\\\"']+))(?!--){_VALUE}+",
    r"([?&;][\w.-]{0,40}(?:key|token|secret|sig|signature|passw\w{0,8}|pwd|credential|auth)=)[^\s'\"\\&#<>]+",
    rf"((?:api_key|_token(?!s)|password|secret)\w{{0,40}}=)(?!\*\*\*){_VALUE}+",
    r"(://)[^\s/?#'\"\\@]+(?=@)",
    r"(\b(?:sk-|hf_))[A-Za-z0-9_-]{16,}",
)


def redact(text: str) -> str:
    """The text without secrets that are known and without what looks like one."""
    kept = hide_known(text)
    mark, *looks = _looks()
    for pattern in looks if mark.search(kept) else ():
        kept = pattern.sub(rf"\1{HIDDEN}", kept)
    return kept


def hide_known(text: str, secrets: tuple[str, ...] | None = None) -> str:
    """The text without these secrets (default: those of this process, as `known_secrets` gives them)."""
    for secret in known_secrets() if secrets is None else secrets:
        text = text.replace(secret, HIDDEN)
    return text


def known_secrets() -> tuple[str, ...]:
    """The secrets of this process's environment, also as URLs and JSON have them, the longest first."""
    values = [os.environ.get(name, "") for name in _names()]
    return _forms((*values, *(line.partition(":")[2] for line in header_lines())))


def header_lines() -> list[str]:
    """The headers that were given for the load's requests, as "Name: value"."""
    return [line for line in os.environ.get(HEADERS_VARIABLE, "").splitlines() if line.strip()]


@lru_cache(maxsize=1)  # not on import: most commands end before they need one
def _looks() -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in (_MARK, *_LOOKS))


def _names() -> list[str]:
    return [name for name in os.environ if _is_secret(name)]


@lru_cache(maxsize=1024)  # a report asks for each of its texts
def _is_secret(name: str) -> bool:
    return re.search(SECRET_NAME, name, re.IGNORECASE) is not None


@lru_cache(maxsize=8)
def _forms(values: tuple[str, ...]) -> tuple[str, ...]:
    """All forms of the secrets, the longest first."""
    found = {value.strip() for value in values if len(value.strip()) >= SHORTEST}
    found |= {quote(value, safe="") for value in found} | {_in_json(value) for value in found}
    return tuple(sorted(found, key=len, reverse=True))


def _in_json(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')

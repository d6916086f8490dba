"""What a request asks beside its prompt and length, and where it goes: by scenario or option."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from common.strictyaml import Strict

OURS = (
    *("model", "stream", "stream_options", "ignore_eos", "cache_salt"),
    *("max_tokens", "max_output_tokens", "max_completion_tokens"),
    *("messages", "prompt", "input", "system", "query", "documents"),
)
LARGEST = 64 * 1024  # bytes of `extra_body` as JSON; it goes with each request
Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Request(Strict):
    """`request:` of a scenario; what is left out is the user class's own."""

    api: str | None = None  # of loadgen.api.KINDS, which checks it
    endpoint: str | None = None
    extra_body: dict[str, Any] = {}
    temperature: Finite | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    ignore_eos: bool = True
    max_tokens_field: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,63}$")] | None = None
    documents: Annotated[int, Field(gt=0, le=1000)] | None = None

    @field_validator("endpoint")
    @classmethod
    def _a_path(cls, path: str | None) -> str | None:
        if path is not None and not (path.startswith("/") and path.isascii() and path.isprintable()):
            raise ValueError("must be a path such as /v1/chat/completions, in ASCII")
        if path is not None and set(path) & set(' "<>\\^`{|}#'):
            raise ValueError("holds a character that stands in no URL")
        return path

    @field_validator("extra_body")
    @classmethod
    def _others(cls, body: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(set(body) & set(OURS)):
            raise ValueError(f"{taken[0]} is set by the load itself")
        if len(json.dumps(body)) > LARGEST:
            raise ValueError(f"must be {LARGEST >> 10} KiB or less as JSON")
        return body

    @model_validator(mode="after")
    def _said_once(self) -> "Request":
        for name in ("temperature", "top_p"):
            if getattr(self, name) is not None and name in self.extra_body:
                raise ValueError(f"{name} is given twice, by itself and in extra_body")
        if self.max_tokens_field in self.extra_body:
            raise ValueError(f"{self.max_tokens_field} is max_tokens_field: its value is not for extra_body")
        return self

    def applied(self, body: Mapping[str, Any], length_field: str | None = "max_tokens") -> dict[str, Any]:
        """The body with what is asked for here; what is left out here stays as it was. `length_field`: what
        the kind of API calls the answer's length."""
        given = {"temperature": self.temperature, "top_p": self.top_p}
        changed = {**body, **{name: value for name, value in given.items() if value is not None}}
        if not self.ignore_eos:
            changed.pop("ignore_eos", None)
        if self.max_tokens_field and length_field in changed:
            changed[self.max_tokens_field] = changed.pop(length_field)
        return changed | self.extra_body

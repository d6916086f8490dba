"""What every part of comparison.json is: a model that takes no keys but its own."""

from pydantic import BaseModel, ConfigDict

Json = str | int | float | bool | None


class Part(BaseModel):
    """A part of a comparison: no keys but those named, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

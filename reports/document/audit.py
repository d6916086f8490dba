"""The audit in comparison.json: what another tool claimed, and what its records support."""

from typing import Literal

from pydantic import Field

from reports.document.part import Part

Outcome = Literal["supported", "not supported", "cannot tell"]


class ClaimCheck(Part):
    """A figure that another tool printed, or its change, beside what the records of its file support."""

    variant: str
    metric: str
    label: str
    field: str = Field(description="the claim's name in the file; 'change of …' for a change")
    display_unit: str
    claimed: float
    claimed_display: str
    supported: float | None
    supported_display: str
    outcome: Outcome
    reason: str


class SameFigure(Part):
    """A figure that another tool printed, reckoned again by its definition and by the one here; SI."""

    variant: str
    metric: str
    label: str
    field: str = Field(description="its name in the file")
    display_unit: str
    printed_display: str
    own: float = Field(description="from the file's records, as the tool defines it")
    own_display: str
    reproduced: bool = Field(description="own is what the tool printed, to its rounding")
    here: float | None = Field(description="from the same records, as defined here")
    here_display: str
    cause: str = Field(description="why the two differ, one line; 'the same'")


class Untold(Part):
    """Figures or checks that another tool's file does not allow."""

    what: str
    why: str


class Audit(Part):
    """What another tool claimed of its own result files, and what their records support."""

    tool: str
    title: str = Field("", description="the finding in one line")
    files: list[str]
    paragraph: str = Field(description="what was claimed, what the records support, the difference")
    limits: list[str] = Field(description="plateaus of the requests at work: what set the pace")
    checks: list[ClaimCheck] = Field(description="the changes first, then the figures of each file")
    same: list[SameFigure] = Field(
        default_factory=list, description="each printed figure by the tool's definition and by the one here"
    )
    notes: list[str] = Field(description="what the records show beside the claims, and what was assumed")
    untold: list[Untold]

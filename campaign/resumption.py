"""What becomes of a campaign's steps when it is taken up again."""

from campaign.outcome import outcome_of
from campaign.state import Campaign, Step
from common.results import results_folder


def take_up(campaign: Campaign) -> None:
    """Settle or open again what was left in between."""
    for step in campaign.steps:
        if step.state == "running":
            _conclude(step)
    campaign.save()


def _conclude(step: Step) -> None:
    """A step that was running when we were killed: its run may have ended well."""
    found = outcome_of(results_folder() / step.run) if step.run else None
    if found and found.verdict:
        step.state, step.verdict = "done", found.verdict
    else:
        step.wait()

"""What becomes of a campaign's steps when it is taken up again."""

from campaign.outcome import outcome_of
from campaign.state import Campaign, Step
from common.results import REFUSED, START_FAILED, results_folder


def take_up(campaign: Campaign) -> None:
    """Settle or open again what was left in between, and try again what may be served by now."""
    first = campaign.steps[0].variant
    for step in campaign.steps:
        if step.state == "running":
            _conclude(step)
        elif step.state == START_FAILED or (step.state == REFUSED and step.variant == first):
            step.wait()  # of the first: nothing goes on without it
    campaign.save()


def _conclude(step: Step) -> None:
    """A step that was running when we were killed: its run may have ended well."""
    found = outcome_of(results_folder() / step.run) if step.run else None
    if found and found.verdict:
        step.state, step.verdict = "done", found.verdict
    else:
        step.wait()

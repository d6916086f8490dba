"""What becomes of a campaign's steps when it is taken up again."""

from campaign.outcome import outcome_of
from campaign.state import Campaign, Step
from common.results import MANIFEST, NOT_APPLIED, START_FAILED, results_folder
from common.terminal import say


def take_up(campaign: Campaign) -> None:
    """Settle or open again what was left in between, and try again what may be served by now."""
    for number, step in enumerate(campaign.steps, 1):
        if step.state == "running":
            _conclude(step)
        elif _is_gone(step):
            say(f"step {number}: its run {step.run} is gone, so it is made again")
            step.wait()
    for step in campaign.steps:
        if step.not_applied and _try_again(campaign, step.variant):
            step.wait()
    campaign.save()


def _conclude(step: Step) -> None:
    """A step that was running when we were killed: its run may have ended well."""
    found = outcome_of(results_folder() / step.run) if step.run else None
    if found and found.verdict:
        step.state, step.verdict = "done", found.verdict
    else:
        step.wait()


def _is_gone(step: Step) -> bool:
    """Whether the run of a settled step was deleted; a report could not be made of it."""
    if step.run is None or not step.settled:
        return False
    return not (results_folder() / step.run / (NOT_APPLIED if step.not_applied else MANIFEST)).is_file()


def _try_again(campaign: Campaign, variant: str) -> bool:
    """Whether a variant that was not served is run again: it may start by now, or is the first, without which
    nothing goes on, or its refusal is gone and only the steps that were not run for it are left.
    """
    steps = [step for step in campaign.steps if step.variant == variant and step.not_applied]
    started = any(step.state == START_FAILED for step in steps)
    return started or variant == campaign.held_to or not any(step.run for step in steps)

"""Looks at a series before each repeat: is it needed, and of which variants? A run is read once."""

from collections.abc import Mapping
from typing import Any

from campaign.state import Campaign, Step
from common.results import results_folder
from common.strictyaml import bare
from common.terminal import say
from common.usage import UsageError
from reports.commands.assembly import run_info
from reports.commands.compare import MINIMUM_EFFECT
from reports.comparison import looks, race
from reports.comparison.exclusions import excluded, without
from reports.document.run import RunInfo
from reports.metrics.catalogue import ROW
from reports.runs.index import index
from reports.runs.runs import Run, load_run

EFFECT = MINIMUM_EFFECT / 100


class Looks:
    """The looks at one campaign; none where its command asked for every repeat."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._read: dict[str, tuple[Run, RunInfo]] = {}

    @property
    def count(self) -> float:
        """Claims that share the 5 %: in a race of all looks and pairs, else as the look that ended it has."""
        wanted, steps = self._campaign.request, self._campaign.steps
        if wanted.get("race"):
            return int(wanted["repeats"]) * race.pairs(len(wanted["variants"]))
        made = max((step.repeat for step in steps if step.settled), default=1)
        return 1.0 if wanted.get("every_repeat") else looks.sharing(made, wanted["repeats"])

    def end_before(self, number: int) -> bool:
        """Whether the campaign ends before this step, which is noted then. Beaten variants are dropped."""
        wanted, repeat = self._campaign.request, self._campaign.steps[number].repeat
        same = [step for step in self._campaign.steps if step.repeat == repeat]
        if repeat == 1 or any(step.state == "done" for step in same):
            return False
        if wanted.get("race"):
            return self._race_ends(repeat - 1, wanted["race"])
        return not wanted.get("every_repeat") and self._all_decided(repeat - 1, wanted["repeats"])

    def conclude(self) -> None:
        """Note who won a race whose repeats are all made."""
        campaign = self._campaign
        if campaign.request.get("race") and campaign.best is None:
            self._note_winner(self._stand(campaign.request["race"]), "")

    def _all_decided(self, made: int, most: int) -> bool:
        found = looks.look(*self._groups(), EFFECT, (made, most), index(results_folder())[0])
        give_up = bool(self._campaign.request.get("until_decided"))
        self._campaign.stopped = looks.ended(found, made, most, give_up)
        if self._campaign.stopped:
            self._campaign.save()
            say(self._campaign.stopped)
        return self._campaign.stopped is not None

    def _race_ends(self, made: int, terms: Mapping[str, Any]) -> bool:
        found = self._stand(terms)
        for name in found.beaten:
            self._drop(name, f"{found.rivals[name].text} against {found.leader}", made)
        budget = terms["budget"]
        if found.decided:
            self._note_winner(found, f" after {made} of {self._campaign.request['repeats']} repeats")
        elif budget is not None and spent(self._campaign) + next_repeat(self._campaign) > budget:
            self._note_winner(
                found, f"; after {made} repeats another would exceed the budget of {budget:g} s"
            )
        return self._campaign.best is not None

    def _stand(self, terms: Mapping[str, Any]) -> race.Race:
        groups, verdicts = self._groups()
        if not groups:
            raise UsageError("no variant was served, so there is nothing to report")
        return race.race(groups, verdicts, ROW[terms["by"]], EFFECT, self.count, index(results_folder())[0])

    def _drop(self, name: str, why: str, made: int) -> None:
        for step in self._campaign.steps:
            if bare(step.variant) == name and not step.settled:
                step.state, step.reason = "dropped", why
        self._campaign.save()
        say(f"{name} is out after {made} repeat{'s' if made > 1 else ''}: {why}")

    def _note_winner(self, found: race.Race, when: str) -> None:
        out = {bare(step.variant) for step in self._campaign.steps if step.state == "dropped"}
        told = race.last_word(found, out - set(found.beaten), EFFECT)
        self._campaign.best, self._campaign.stopped = found.leader, told + when
        self._campaign.save()
        say(self._campaign.stopped)

    def _groups(self) -> tuple[dict[str, list[Run]], dict[str, str]]:
        """The runs so far of each variant that is not out, without those that a report excludes; verdicts."""
        made: dict[str, list[tuple[Run, RunInfo]]] = {}
        for step in self._campaign.steps:
            if step.state == "done" and step.run and step.variant not in self._out:
                made.setdefault(bare(step.variant), []).append(self._load(step.run, step))
        groups = {
            name: without(excluded([info for _, info in runs]), [run for run, _ in runs])
            for name, runs in made.items()
        }
        return groups, {info.run: info.verdict for runs in made.values() for _, info in runs}

    @property
    def _out(self) -> set[str]:
        return {step.variant for step in self._campaign.steps if step.state == "dropped"}

    def _load(self, name: str, step: Step) -> tuple[Run, RunInfo]:
        if name not in self._read:
            run = load_run(results_folder() / name)
            self._read[name] = run, run_info(run, step.repeat)
        return self._read[name]


def spent(campaign: Campaign) -> float:
    """Seconds that its runs have taken so far, those that were cut off among them."""
    return sum(step.seconds for step in campaign.steps)


def next_repeat(campaign: Campaign) -> float:
    """Seconds that the next one will take: of each variant that is not out as long as its longest run."""
    open_ones = {step.variant for step in campaign.steps if not step.settled}
    return sum(
        max((step.seconds for step in campaign.steps if step.variant == variant), default=0.0)
        for variant in open_ones
    )

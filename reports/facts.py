"""Look-ups in the tables of a comparison, for the texts that are written from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports import wording
from reports.comparison import Change, Metric, Reading, RunInfo, ServerSide, Variant

# One row for each thing a user feels, so that a sentence does not say one thing four times.
SPOKEN = ("output_token_throughput", "completed_rate", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99")
SPOKEN_TOO = ("latency_p50", "latency_p99", "goodput_share", "failed")


@dataclass(frozen=True)
class Facts:
    """The tables that sentences are written from."""

    baseline: str
    matters: float
    metrics: Mapping[str, Metric]
    variants: Sequence[Variant]
    runs: Sequence[RunInfo]
    slo: Mapping[str, object] | None

    @property
    def others(self) -> list[Variant]:
        """The variants after the baseline that ran."""
        return [variant for variant in self.variants if variant.name != self.baseline and variant.runs]

    def reading(self, metric: str, variant: str) -> Reading:
        return next(each for each in self.metrics[metric].readings if each.variant == variant)

    def value(self, metric: str, variant: str) -> float | None:
        return self.reading(metric, variant).value

    def change(self, metric: str, variant: str) -> Change:
        return next(each for each in self.metrics[metric].changes if each.variant == variant)

    def marked(self, variant: str, mark: str) -> list[str]:
        """The spoken metrics with that mark."""
        return [name for name in (*SPOKEN, *SPOKEN_TOO) if self.change(name, variant).mark == mark]

    def runs_of(self, variant: str) -> list[RunInfo]:
        return [run for run in self.runs if run.variant == variant]

    def verdicts(self, variant: str) -> set[str]:
        return {run.verdict for run in self.runs_of(variant)}

    def usable(self, variant: str) -> bool:
        """Whether its runs tell of the server, and not of a broken measurement."""
        return not self.verdicts(variant) & {"INVALID", "CLIENT-LIMITED"}

    def server(self, variant: str, field: str) -> float | None:
        """The mean over the variant's runs of a figure of ServerSide."""
        found = [getattr(run.server, field) for run in self.runs_of(variant)]
        assert field in ServerSide.model_fields
        return None if not found or None in found else sum(found) / len(found)

    def phrase(self, metric: str, variant: str) -> str:
        """'TPOT p50 −84.6 % (231.7 to 35.7 ms)'"""
        row, change = self.metrics[metric], self.change(metric, variant)
        before, after = self.reading(metric, self.baseline), self.reading(metric, variant)
        unit = f" {row.display_unit}" if row.display_unit else ""
        head = row.label if change.display.startswith("from") else f"{row.label} {change.display}"
        return f"{head} ({before.display} to {after.display}{unit})"

    def brief(self, metrics: Sequence[str], variant: str) -> str:
        """'TPOT p50 −84.6 % and Failed from 0 to 12': the changes without the figures behind them."""
        return wording.listed(
            [f"{self.metrics[name].label} {self.change(name, variant).display}" for name in metrics]
        )

    def phrases(self, metrics: Sequence[str], variant: str) -> str:
        return wording.listed([self.phrase(name, variant) for name in metrics])

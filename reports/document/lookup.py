"""Look-ups in the tables of a comparison, for the texts that are written from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.document.metric import Change, Metric, Reading
from reports.document.run import UNUSABLE, RunInfo, ServerSide
from reports.document.schema import Variant
from reports.text import formatting

# One row for each thing a user feels, so that a sentence does not say one thing four times.
SPOKEN = ("output_token_throughput", "completed_rate", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99")
SPOKEN_TOO = ("itl_p99", "latency_p50", "latency_p99", "slo_attainment", "failed", "unfinished")
SPOKEN_NAMES = {
    "output_token_throughput": "token throughput",
    "completed_rate": "completed rate",
    "ttft_p50": "TTFT p50",
    "ttft_p99": "TTFT p99",
    "latency_p50": "latency p50",
    "latency_p99": "latency p99",
    "slo_attainment": "SLO attainment",
    "failed": "failed requests",
    "unfinished": "unfinished requests",
}
SLO_SHARE = 0.99  # of arrivals, where the scenario's SLO does not say


def spoken_name(metric: str, label: str) -> str:
    """A metric's name inside a sentence."""
    return SPOKEN_NAMES.get(metric, label)


@dataclass(frozen=True)
class Facts:
    """The tables that sentences are written from."""

    baseline: str
    minimum_effect: float
    metrics: Mapping[str, Metric]
    variants: Sequence[Variant]
    runs: Sequence[RunInfo]
    slo: Mapping[str, object] | None

    @property
    def asked_share(self) -> float:
        """Of the arrivals, that are to meet the SLO."""
        share = (self.slo or {}).get("share")
        return float(share) if isinstance(share, int | float) and share else SLO_SHARE

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
        return self.verdicts(variant).isdisjoint(UNUSABLE)

    def server(self, variant: str, field: str) -> float | None:
        """The mean over the variant's runs of a figure of ServerSide."""
        found = [getattr(run.server, field) for run in self.runs_of(variant)]
        assert field in ServerSide.model_fields
        return None if not found or None in found else sum(found) / len(found)

    def phrase(self, metric: str, variant: str) -> str:
        """'TPOT p50 −84.6 % (231.7 to 35.7 ms)'"""
        return self._phrase(metric, variant, self.spoken(metric))

    def brief(self, metrics: Sequence[str], variant: str) -> str:
        """'TPOT p50 −84.6 %, p99 −85.0 % and failed requests from 0 to 12': without the figures behind."""
        return formatting.listed(
            [
                f"{name} {formatting.spoken(self.change(metric, variant).display)}"
                for metric, name in self._names(metrics)
            ]
        )

    def phrases(self, metrics: Sequence[str], variant: str) -> str:
        return formatting.listed(
            [self._phrase(metric, variant, name) for metric, name in self._names(metrics)]
        )

    def spoken(self, metric: str) -> str:
        """A metric's name inside a sentence."""
        return spoken_name(metric, self.metrics[metric].label)

    def _names(self, metrics: Sequence[str]) -> list[tuple[str, str]]:
        """Each metric with its name; the second percentile of one thing is 'p99' alone."""
        found, last = [], ""
        for metric in metrics:
            thing, _, percentile = metric.rpartition("_")
            again = percentile == "p99" and last == f"{thing}_p50"
            found.append((metric, percentile if again else self.spoken(metric)))
            last = metric
        return found

    def _phrase(self, metric: str, variant: str, name: str) -> str:
        row, change = self.metrics[metric], self.change(metric, variant)
        before, after = self.reading(metric, self.baseline), self.reading(metric, variant)
        unit = formatting.after(row.display_unit)
        head = name if change.display.startswith("from") else f"{name} {formatting.spoken(change.display)}"
        return f"{head} ({formatting.spoken(before.display)} to {formatting.spoken(after.display)}{unit})"

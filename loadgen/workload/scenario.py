"""The load, as a YAML file says it, checked: unknown keys, impossible figures and missing files are named.

docs/scenarios.md explains every key.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt, field_validator, model_validator

from common.places import ROOT
from common.strictyaml import Strict, check_model, find_file, read_model
from common.usage import UsageError
from loadgen.workload.arrivals import PROCESSES, Arrivals
from loadgen.workload.arrivals.poisson import Poisson
from loadgen.workload.arrivals.process import MOST_RATE
from loadgen.workload.arrivals.trace import Trace
from loadgen.workload.datasets import FORMATS, digest, locate
from loadgen.workload.lengths import MOST, Lengths
from loadgen.workload.request import Request

MOST_WORKLOADS = 100  # of one mix; reports have a row for each
HIGHEST_SEED = 2**63 - 1  # what files and messages have room for
FOLDER = ROOT / "scenarios"
Share = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[str, Field(max_length=100)]  # it stands in messages, tables and labels
Tokens = Annotated[int, Field(gt=0, le=MOST)]
Seconds = Annotated[float, Field(gt=0, le=MOST)]
Pause = Annotated[float, Field(ge=0, le=MOST)]
INT32 = 2**31 - 1  # of vLLM's priority
MOST_RANKED = 100_000  # groups of a prefix, or adapters, whose shares are worked out one by one
MOST_IMAGES = 64  # in one request
Pixels = Annotated[int, Field(gt=0, le=4096)]
Exponent = Annotated[float, Field(ge=0, le=10)]


class SharedPrefix(Strict):
    """The first `tokens` of each prompt are those of one of `groups` groups, each as likely, or the k-th by
    k^-zipf. `hit_rate` in place of `tokens`: so many that this share of all prompt tokens is shared."""

    tokens: Tokens | None = None
    hit_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    groups: Annotated[int, Field(gt=0, le=MOST)] = 1
    zipf: Exponent | None = None

    @model_validator(mode="after")
    def _one_size(self) -> "SharedPrefix":
        if (self.tokens is None) == (self.hit_rate is None):
            raise ValueError("needs tokens or hit_rate, one of them")
        if self.zipf is not None and self.groups == 1:
            raise ValueError("zipf is for several groups")
        if self.zipf is not None and self.groups > MOST_RANKED:
            raise ValueError(f"zipf takes {MOST_RANKED:,} groups at most")
        return self

    def length(self, prompt_tokens: Lengths) -> int:
        """Tokens of the prefix, before prompts of this distribution."""
        if self.tokens is not None:
            return self.tokens
        assert self.hit_rate is not None
        return max(1, round(self.hit_rate / (1 - self.hit_rate) * prompt_tokens.middle))


class Adapters(Strict):
    """LoRA adapters, by the names under which the server has them: with a share each, or the k-th by
    k^-zipf (0: each as likely)."""

    shares: Annotated[dict[Name, Share], Field(min_length=1, max_length=MOST_RANKED)] | None = None
    names: Annotated[list[Name], Field(min_length=1, max_length=MOST_RANKED)] | None = None
    zipf: Exponent | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Adapters":
        if (self.shares is None) == (self.names is None):
            raise ValueError("needs shares (each adapter's own) or names, one of them")
        if self.shares is not None and self.zipf is not None:
            raise ValueError("shares and zipf do not go together")
        if self.shares is not None and abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ValueError(f"the adapters' shares add up to {sum(self.shares.values()):g}, not to 1")
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Each adapter's, in its order; not scaled to 1."""
        if self.shares is not None:
            return dict(self.shares)
        return {name: rank ** -(self.zipf or 0.0) for rank, name in enumerate(self.names or (), 1)}


class Cancel(Strict):
    """This share of the requests is given up `after` seconds, where the answer has not ended before."""

    share: Share
    after: Lengths


class Images(Strict):
    """Pictures of random pixels in each request: `count` of them, or as many as a dataset's row says."""

    width: Pixels
    height: Pixels
    count: Annotated[int, Field(gt=0, le=MOST_IMAGES)] | None = None


class Workload(Strict):
    """One part of a mix. `priority` is vLLM's: lower goes first; only for a server that schedules by it."""

    share: Share = 1.0
    prompt_tokens: Lengths
    output_tokens: Lengths
    priority: Annotated[int, Field(ge=-INT32, le=INT32)] | None = None
    shared_prefix: SharedPrefix | None = None


class Conversation(Strict):
    """Each arrival opens a conversation of several turns; the history is sent along with every turn."""

    turns: Lengths
    think: Lengths
    system_tokens: int = Field(default=0, ge=0, le=MOST)


class Dataset(Strict):
    """A file with prompts, lengths or times; `path` is relative to the YAML file. Rows of more than
    `max_tokens`, prompt and answer together, are passed over. `spread`: rows of one moment come one after the
    other until the next moment. `sessions`: a later turn waits for the answer before it."""

    format: str
    path: str
    repeat: bool = False
    max_tokens: PositiveInt | None = None
    spread: bool = False
    sessions: bool = False
    sha256: str | None = None

    @field_validator("format")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in FORMATS:
            raise ValueError(f"unknown format; there are: {', '.join(FORMATS)}")
        return name


class Slo(Strict):
    """What a user may expect: seconds from the due time, seconds per token, share of all arrivals."""

    ttft: Seconds | None = 1.0
    tpot: Seconds | None = 0.05
    latency: Seconds | None = None
    share: Share = 0.99

    def decided_after(self, tokens: float) -> float:
        """Seconds after which an answer of so many tokens has met or missed it; 0 where it does not say."""
        if self.tpot is None:
            return self.latency or 0.0
        return math.ceil(min((self.ttft or 0.0) + self.tpot * tokens, self.latency or math.inf))


class Scenario(Strict):
    """The load. Rates are arrivals (with `conversation`: conversations) per second, times are seconds."""

    name: Name = ""
    rate: Annotated[float, Field(gt=0, le=MOST_RATE)] | None = None
    duration: Seconds
    warmup: Pause = 5
    drain: Pause = 60
    timeout: Seconds = 600
    seed: int = Field(default=1, ge=0, le=HIGHEST_SEED)
    arrivals: Arrivals = Poisson()
    prompt_tokens: Lengths | None = None
    output_tokens: Lengths | None = None
    shared_prefix: SharedPrefix | None = None
    workloads: Annotated[dict[Name, Workload], Field(max_length=MOST_WORKLOADS)] | None = None
    conversation: Conversation | None = None
    dataset: Dataset | None = None
    adapters: Adapters | None = None
    images: Images | None = None
    cancel: Cancel | None = None
    max_concurrency: Annotated[int, Field(gt=0, le=MOST)] | None = None
    slo: Slo | None = Slo()
    request: Request | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Scenario":
        self.arrivals.require(self.rate, bool(self.conversation), bool(self.dataset))
        if self.conversation and self.dataset:
            raise ValueError("conversation and dataset do not go together")
        if self.dataset and (self.dataset.spread or self.dataset.sessions) and not self._replays:
            raise ValueError("dataset.spread and dataset.sessions are for `arrivals: {process: trace}`")
        if self.dataset and self.dataset.repeat and self._replays:
            raise ValueError("a trace is played once: dataset.repeat is for other arrivals")
        if self.max_concurrency and not self.arrivals.takes_rate:
            raise ValueError("a closed loop has its concurrency: max_concurrency is for arrivals at a rate")
        own = [name for name, each in (self.workloads or {}).items() if each.priority is not None]
        if own and self.request and "priority" in self.request.extra_body:
            raise ValueError(f"priority is given twice, by workloads.{own[0]} and in request.extra_body")
        self._check_lengths()
        self._check_prefixes()
        return self

    def _check_lengths(self) -> None:
        if self.workloads is not None:
            if self.prompt_tokens or self.output_tokens or self.shared_prefix or self.dataset:
                raise ValueError("with workloads, lengths belong to each of them, and there is no dataset")
            total = sum(workload.share for workload in self.workloads.values())
            if abs(total - 1) > 1e-6:
                raise ValueError(f"the workloads' shares add up to {total:g}, not to 1")
        elif self.dataset is None and not (self.prompt_tokens and self.output_tokens):
            raise ValueError("needs prompt_tokens and output_tokens, or workloads, or a dataset")
        elif self.dataset and (self.prompt_tokens or self.shared_prefix):
            raise ValueError(
                "a dataset brings its own prompts: prompt_tokens and shared_prefix have no place"
            )

    def _check_prefixes(self) -> None:
        """A prompt begins alike with others in one way: what it shares is one text."""
        if self.conversation is None or not self.conversation.system_tokens:
            return
        for name, workload in self.mix.items():
            if workload.shared_prefix:
                whose = f"workloads.{name}.shared_prefix" if self.workloads else "shared_prefix"
                raise ValueError(
                    f"{whose} and conversation.system_tokens do not go together: take one of them"
                )

    @classmethod
    def load(cls, name_or_path: str | Path) -> "Scenario":
        """Read scenarios/NAME.yaml, or a file. Raises UsageError for an unknown name or a wrong file."""
        path = find_file(FOLDER, str(name_or_path), "scenario")
        scenario = read_model(path, cls)
        update: dict[str, Any] = {} if scenario.name else {"name": path.stem}
        if scenario.dataset:
            update["dataset"] = _found(scenario.dataset, path)
        return scenario.model_copy(update=update)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Scenario":
        """The scenario that `to_dict` wrote."""
        return check_model(data, cls, f"scenario {data.get('name', '')}".strip())

    def to_dict(self) -> dict[str, Any]:
        """Its keys and values as in YAML, defaults included, empty ones left out."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """What a scenario takes where its file says nothing, as `to_dict` writes it; and a closed loop's
        `concurrency`."""
        given = {"duration": 1.0, "rate": 1.0, "prompt_tokens": 1, "output_tokens": 1}
        bare = cls.model_validate(given).to_dict()
        concurrency = PROCESSES["closed-loop"].model_fields["concurrency"].default
        return {key: bare[key] for key in bare if key not in (*given, "name")} | {"concurrency": concurrency}

    def hash(self) -> str:
        """12 hex digits of the canonical JSON; of a dataset's place only the file name counts."""
        data = self.to_dict()
        if self.dataset:
            data["dataset"]["path"] = Path(self.dataset.path).name
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def _replays(self) -> bool:
        return isinstance(self.arrivals, Trace)

    @property
    def mean_rate(self) -> float | None:
        """Arrivals per second on average; None in a closed loop and for a trace at its own pace."""
        return self.arrivals.own_rate if self.rate is None else self.rate

    @property
    def mix(self) -> dict[str, Workload]:
        """The workloads by name; a scenario without any is one workload of its own name."""
        if self.workloads is not None:
            return self.workloads
        if self.prompt_tokens is None or self.output_tokens is None:
            return {}
        return {
            self.name: Workload(
                prompt_tokens=self.prompt_tokens,
                output_tokens=self.output_tokens,
                shared_prefix=self.shared_prefix,
            )
        }

    def with_overrides(
        self,
        rate: float | None = None,
        duration: float | None = None,
        drain: float | None = None,
        arrivals: str | None = None,
        warmup: float | None = None,
        timeout: float | None = None,
        concurrency: int | None = None,
        max_concurrency: int | None = None,
        prompt_tokens: Lengths | None = None,
        output_tokens: Lengths | None = None,
        slo: Mapping[str, float] | None = None,
        request: Mapping[str, Any] | None = None,
    ) -> "Scenario":
        """The scenario with what is given changed; of `slo` and `request` (keys and values as in YAML) what
        they hold.

        Raises UsageError for a value that cannot be.
        """
        data = self.model_dump(mode="json")  # with what is set to null: `slo: null` has to stay
        data |= self._lengths(prompt_tokens, output_tokens)
        if slo:
            data["slo"] = self._slo(slo)
        if request:
            data["request"] = (data["request"] or {}) | dict(request)
        given: dict[str, float | None] = {
            "rate": rate,
            "duration": duration,
            "drain": drain,
            "warmup": warmup,
            "timeout": timeout,
            "max_concurrency": max_concurrency,
        }
        data |= {key: value for key, value in given.items() if value is not None}
        if arrivals is not None and arrivals != self.arrivals.process:
            if not PROCESSES[arrivals].takes_rate and rate is None:
                data.pop("rate", None)
            data["arrivals"] = {"process": arrivals}
        if concurrency is not None:
            if "concurrency" not in PROCESSES[data["arrivals"]["process"]].model_fields:
                raise UsageError(f"scenario {self.name} has no concurrency: its arrivals are not closed-loop")
            data["arrivals"]["concurrency"] = concurrency
        return check_model(data, Scenario, f"scenario {self.name}")

    def _lengths(self, prompt: Lengths | None, output: Lengths | None) -> dict[str, Any]:
        """Other lengths than its own, as YAML has them."""
        if self.workloads is not None and (prompt or output):
            names = ", ".join(self.workloads)
            raise UsageError(
                f"scenario {self.name} has workloads ({names}), each with lengths of its own: "
                "--input-tokens and --output-tokens would not say whose; write a scenario file"
            )
        if self.dataset is not None and prompt:
            raise UsageError(f"scenario {self.name} takes its prompts from a dataset: no --input-tokens")
        given = {"prompt_tokens": prompt, "output_tokens": output}
        return {key: value.model_dump(mode="json") for key, value in given.items() if value is not None}

    def _slo(self, given: Mapping[str, float]) -> dict[str, Any]:
        """Its SLO with some of its bounds changed; where it has none, with those that are given alone."""
        own: dict[str, Any] = self.slo.model_dump(mode="json") if self.slo else {"ttft": None, "tpot": None}
        if not any(own.get(name) for name in ("ttft", "tpot", "latency")) and set(given) == {"share"}:
            raise UsageError(f"scenario {self.name} has no SLO to share: give --slo-ttft or --slo-tpot")
        return own | dict(given)


def list_scenarios() -> dict[str, str]:
    """Name and first comment line of every file in scenarios/."""
    found = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        found[path.stem] = first.removeprefix("#").strip() if first.startswith("#") else ""
    return found


def _found(dataset: Dataset, scenario: Path) -> Dataset:
    """The dataset with its full path and the digest of its content, so that a changed file is noticed."""
    path = locate((scenario.parent / dataset.path).resolve())
    found = digest(path)
    if dataset.sha256 not in (None, found):
        raise UsageError(f"{scenario}: dataset {path} is not the file that the scenario's sha256 names")
    return dataset.model_copy(update={"path": str(path), "sha256": found})

"""Whatever a YAML file holds, and whatever number an option has, it is one line or a scenario."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.identity import check_variants
from common.results import stamped
from common.usage import UsageError
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import require_possible
from tokenswarm.__main__ import main

GOOD = "rate: 5\nduration: 4\nwarmup: 0\nprompt_tokens: 9\noutput_tokens: 3\n"
LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcde", "bcdef", strict=True)
)
ODD = {
    "itself": "a: &a {b: *a}\n",
    "a list of itself": "a: &a [*a]\n",
    "depth": "a: " + "[" * 400 + "]" * 400,
    "great depth": "a: " + "[" * 50_000,
    "references": LAUGHS,
    "digits": f"rate: {'9' * 5000}\n",
    "NUL": "rate: 5\0\n",
    "infinite": GOOD.replace("duration: 4", "duration: .inf"),
    "no number": GOOD.replace("rate: 5", "rate: .nan"),
    "sd": GOOD.replace("prompt_tokens: 9", "prompt_tokens: {distribution: lognormal, mean: 9, sd: 1.0e+300}"),
    "an odd key": "? [1, 2]\n: 3\n",
    "a date": "2001-99-99: 1\n",
    "a tag": "rate: !!python/object:os.system {}\n",
    "large": "a: " + "x" * (2**20 + 1),
    "a stage": "duration: 4\nprompt_tokens: 9\noutput_tokens: 3\n"
    "arrivals: {process: stages, stages: [{rate: .inf, duration: 1}]}\n",
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_file_is_one_line(what: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(ODD[what])
    with pytest.raises(UsageError) as caught:
        Scenario.load(path)
    said = str(caught.value)
    assert said.startswith(str(path)) and "\n" not in said and len(said) < 700


@settings(max_examples=300)
@given(text=st.text(alphabet="abr:&*[]{}-?!|>'\"#%@ \n\t09.~<,", max_size=60))
def test_whatever_text_a_file_is_nothing_else_escapes(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)
    with contextlib.suppress(UsageError):
        Scenario.load(path)


@settings(max_examples=200)
@given(
    key=st.sampled_from(["rate", "duration", "warmup", "drain", "timeout", "seed", "prompt_tokens", "slo"]),
    value=st.sampled_from(
        [".inf", "-.inf", ".nan", "-1", "0", "1e308", "9" * 400, "[]", "{}", "~", "true", "''"]
    ),
)
def test_whatever_a_key_holds_nothing_else_escapes(
    key: str, value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "key.yaml"
    lines = [line for line in GOOD.splitlines() if not line.startswith(f"{key}:")]
    path.write_text("\n".join([*lines, f"{key}: {value}"]))
    with contextlib.suppress(UsageError):
        require_possible(Scenario.load(path))


def test_what_would_hang_is_refused_with_the_number() -> None:
    turns = {"turns": 1_000_000, "think": 1}
    data = {"name": "s", "rate": 5, "duration": 10, "prompt_tokens": 9, "output_tokens": 3}
    with pytest.raises(UsageError, match="75,000,000 turns of conversations, and 5,000,000 are the most"):
        require_possible(Scenario.from_dict(data | {"conversation": turns}))
    with pytest.raises(UsageError, match="--repeats 1000000: must be 1 to 1,000"):
        check_variants(["a", "b"], 1_000_000)


HUGE = [1e300, 1e12, -1.0, 10**30, float("nan"), float("inf")]
PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "rate": lambda odd: {"rate": odd},
    "duration": lambda odd: {"duration": odd},
    "warmup": lambda odd: {"warmup": odd},
    "drain": lambda odd: {"drain": odd},
    "timeout": lambda odd: {"timeout": odd},
    "prompt_tokens": lambda odd: {"prompt_tokens": odd},
    "output_tokens": lambda odd: {"output_tokens": odd},
    "sd": lambda odd: {"prompt_tokens": {"distribution": "lognormal", "mean": 9, "sd": odd}},
    "seed": lambda odd: {"seed": odd},
    "slo.ttft": lambda odd: {"slo": {"ttft": odd}},
    "slo.tpot": lambda odd: {"slo": {"tpot": odd}},
    "slo.latency": lambda odd: {"slo": {"latency": odd}},
    "slo.share": lambda odd: {"slo": {"share": odd}},
    "turns": lambda odd: {"conversation": {"turns": odd, "think": 1}},
    "think": lambda odd: {"conversation": {"turns": 2, "think": odd}},
    "system_tokens": lambda odd: {"conversation": {"turns": 2, "think": 1, "system_tokens": odd}},
    "shared_prefix.tokens": lambda odd: {"shared_prefix": {"tokens": odd}},
    "shared_prefix.groups": lambda odd: {"shared_prefix": {"tokens": 9, "groups": odd}},
    "burstiness": lambda odd: {"arrivals": {"process": "gamma", "burstiness": odd}},
    "decay": lambda odd: {"arrivals": {"process": "hawkes", "decay": 1 / odd if odd else odd}},
    "branching": lambda odd: {"arrivals": {"process": "hawkes", "branching": odd}},
    "stages.rate": lambda odd: {"arrivals": {"process": "stages", "stages": [{"rate": odd, "duration": 1}]}},
    "concurrency": lambda odd: {"rate": None, "arrivals": {"process": "closed-loop", "concurrency": odd}},
    "priority": lambda odd: {
        "prompt_tokens": None,
        "output_tokens": None,
        "workloads": {"w": {"share": 1, "prompt_tokens": 9, "output_tokens": 3, "priority": odd}},
    },
}
SOUND = {("priority", -1.0), ("seed", 1e12)}  # what is odd elsewhere, and a value there


@pytest.mark.parametrize(
    ("place", "odd"), [(place, odd) for place in PLACES for odd in HUGE if (place, odd) not in SOUND]
)
def test_an_absurd_figure_is_refused_wherever_it_stands(place: str, odd: Any) -> None:
    data = {"name": "s", "rate": 5, "duration": 4, "warmup": 0, "prompt_tokens": 9, "output_tokens": 3}
    with pytest.raises(UsageError) as caught:
        require_possible(Scenario.from_dict(data | PLACES[place](odd)))
    said = str(caught.value)
    assert "\n" not in said and len(said) < 700


@pytest.mark.parametrize("length", [101, 300, 10_000])
@pytest.mark.parametrize("place", ["name", "workload", "variant", "report", "audit"])
def test_a_long_name_is_refused_or_cut_before_anything_starts(
    place: str, length: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "x" * length
    part = {"share": 1, "prompt_tokens": 9, "output_tokens": 3}
    if place in ("name", "workload"):
        given = {"name": long} if place == "name" else {"workloads": {long: part}}
        lengths = {} if place == "workload" else {"prompt_tokens": 9, "output_tokens": 3}
        with pytest.raises(UsageError, match="is too long"):
            Scenario.from_dict({"rate": 5, "duration": 4} | lengths | given)
        return
    words = {
        "variant": ["run", long, "--host", "http://127.0.0.1:1"],
        "report": ["report", long],
        "audit": ["audit", f"{long}.json"],
    }[place]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Traceback" not in said
    assert len(stamped(long)) < 150

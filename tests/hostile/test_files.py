"""Whatever a YAML file holds, and whatever number an option has, it is one line or a scenario."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.plan import check_variants
from common.usage import UsageError
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import require_possible

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

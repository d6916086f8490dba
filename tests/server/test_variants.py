"""Variants and targets: the commands they give, and how a mistake in a file is named."""

import shlex
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.places import ROOT
from common.usage import UsageError
from server import targets, variants
from server.command import NotApplicableError, build
from server.targets import Target, read_target, resolve_name, target_for
from server.variants import Variant, apply, flag_name, read_variant
from tokenswarm.__main__ import run

T4_COMMAND = (
    "python -m vllm.entrypoints.openai.api_server --model TheBloke/Llama-2-7B-AWQ --dtype half "
    "--max-model-len 2048 --gpu-memory-utilization 0.90 --quantization awq --enforce-eager --port 8000"
)
VARIANT = "changes: something\nexpected: something better\n"
TARGET = "purpose: a test\nkind: cpu\nmodel: m\nflags: []\nhardware: T4\ndtype: float32\nstart_within_s: 9\n"
words = st.text("abcdefgh", min_size=1, max_size=3)
names = words.map(lambda word: f"--{word}")
flags = st.tuples(names, st.none() | st.integers(0, 99)).map(
    lambda pair: pair[0] if pair[1] is None else f"{pair[0]} {pair[1]}"
)
commands = st.lists(flags, max_size=6, unique_by=lambda flag: flag.split()[0])


def variant(**more: object) -> Variant:
    return Variant.model_validate({"changes": "c", "expected": "e", **more})


def target(**more: object) -> Target:
    given = {"purpose": "p", "kind": "cpu", "model": "m", "flags": [], "hardware": "T4", "dtype": "float32"}
    return Target.model_validate({**given, "start_within_s": 9, **more})


@pytest.mark.parametrize(("name", "more"), [("baseline", ""), ("optimized", " --max-num-seqs 8")])
def test_the_commands_on_a_t4(name: str, more: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", name, "--target", "t4-llama2-7b-awq", "--dry-run"]) == 0
    assert capsys.readouterr().out == f"{T4_COMMAND}{more}\n"


@pytest.mark.parametrize(
    ("name", "more"), [("api-servers-2", " --api-server-count 2"), ("rust-frontend", "")]
)
def test_what_vllm_serve_alone_acts_on_is_served_by_it(
    name: str, more: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", name, "--target", "t4-llama2-7b-awq", "--dry-run"]) == 0
    wanted = T4_COMMAND.replace("openai.api_server", "cli.main serve")
    assert capsys.readouterr().out.endswith(f"{wanted}{more}\n")


def test_the_cpu_command_comes_with_its_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "optimized", "--target", "cpu-tiny", "--port", "8123", "--dry-run"]) == 0
    said = shlex.split(capsys.readouterr().out)
    assert said[: said.index("python")] == [
        "VLLM_TARGET_DEVICE=cpu",
        "VLLM_CPU_KVCACHE_SPACE=1",
        "HF_HUB_OFFLINE=1",
        "VLLM_NO_USAGE_STATS=1",
        "DO_NOT_TRACK=1",
    ]
    assert {"--enforce-eager", "--enable-mfu-metrics"} < set(said)
    assert said[-4:] == ["--port", "8123", "--max-num-seqs", "8"]


@pytest.mark.parametrize("name", targets.names())
@pytest.mark.parametrize("variant_name", variants.names())
def test_every_variant_fits_every_target(name: str, variant_name: str) -> None:
    command = build(read_target(name), read_variant(variant_name), "m", 1234)
    base = build(read_target(name), read_variant("baseline"), "m", 1234)
    assert (command.argv == base.argv) == (variant_name == "baseline")
    assert len(set(command.flags)) == len(command.flags)


def test_the_variants_that_the_sweeps_name_are_there() -> None:
    asked = [
        "batch-8",
        "batch-16",
        "batch-32",
        "chunked-prefill",
        "priority",
        "compiled",
        "prefix-caching-off",
    ]
    assert {"baseline", "optimized", *asked} <= set(variants.names())


def test_the_list_says_what_each_changes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["variants"]) == 0
    said = capsys.readouterr().out
    for name in variants.names():
        assert f"{name:<20} {read_variant(name).changes}\n" in said
    assert "adds --max-num-seqs 8\n" in said
    assert "removes --enforce-eager\n" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VARIANT + "ad: [--x 1]\n", "mine.yaml:3: unknown key 'ad'; did you mean 'add'?"),
        (VARIANT + "colour: red\n", "mine.yaml:3: unknown key 'colour'; known keys: add, changes, "),
        (VARIANT + "add:\n  - --x 1\n  - max-num-seqs 8\n", "mine.yaml:5: add.1: must be one flag"),
        (VARIANT + "add: --x 1\n", "mine.yaml:3: add: .*list"),
        ("changes: x\n", "mine.yaml: key 'expected' is missing"),
        ("chnages: x\nexpected: y\n", "mine.yaml:1: unknown key 'chnages'; did you mean 'changes'"),
        ("changes: ''\nexpected: y\n", "mine.yaml:1: changes: must not be empty"),
        (VARIANT + "changes: z\n", "mine.yaml:3: key 'changes' is there twice, first in line 1"),
        (VARIANT + "environment: {A: 1}\n", "mine.yaml:3: environment.A: must be text; put it in quotes"),
        (VARIANT + "add: [--x 1 --y 2]\n", "mine.yaml:3: add.0: holds more than one flag"),
        (
            VARIANT + "add: [--port 9000]\n",
            "mine.yaml:3: add.0: --port has no place here: the launcher sets it",
        ),
        (VARIANT + "add: [--api_key=hunter2]\n", "add.0: --api-key has no place here: .*VLLM_API_KEY"),
        (
            VARIANT + "add: [--hf-token hf_x]\n",
            "add.0: --hf-token has no place here: .*put HF_TOKEN in your environment$",  # and not the token
        ),
        (
            VARIANT + "add: ['--x {level:3}']\n",
            "add.0: its value begins like JSON and is none: Expecting [a-z ]+ \\(given",
        ),
        (VARIANT + "add: [--ssl-certfile x]\n", "add.0: --ssl-certfile has no place here: .* plain HTTP"),
        (VARIANT + "add: [--uds /tmp/x]\n", "add.0: --uds has no place here: the load needs a port"),
        (
            VARIANT + 'environment: {A: "a\\0b"}\n',
            "mine.yaml:3: environment: 'A' and its value cannot be set",
        ),
        (VARIANT + "environment: {A=B: x}\n", "mine.yaml:3: environment: 'A=B' and its value cannot be set"),
        (VARIANT + 'add: ["--x a\\0b"]\n', "mine.yaml:3: add.0: holds a NUL"),
        (VARIANT + "environment: {HF_TOKEN: x}\n", "environment: HF_TOKEN looks like a secret"),
        (VARIANT + "ignored_if_logged: '('\n", "mine.yaml:3: ignored_if_logged: .*regular expression"),
        ("changes: [\n", "mine.yaml:2: not valid YAML: "),
        ("", "mine.yaml: must hold keys and values; it is empty"),
        ("- 1\n", "mine.yaml: must hold keys and values; it holds a list"),
    ],
)
def test_a_mistake_in_a_variant_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        run(["serve", str(tmp_path / "mine.yaml"), "--target", "cpu-tiny", "--dry-run"])
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TARGET + "modle: x\n", "t.yaml:8: unknown key 'modle'; did you mean 'model'?"),
        (TARGET.replace("kind: cpu", "kind: tpu"), "t.yaml:2: kind: .*'cpu' or 'gpu'.*'tpu'"),
        (TARGET.replace("flags: []", "flags: ['--a 1', 'b']"), "t.yaml:4: flags.1: must be one flag"),
        (TARGET.replace("within_s: 9", "within_s: 0"), "t.yaml:7: start_within_s: .*greater than 0"),
        (TARGET + "suits: '['\n", "t.yaml:8: suits: .*regular expression"),
        (TARGET.replace("model: m\n", ""), "t.yaml: key 'model' is missing"),
    ],
)
def test_a_mistake_in_a_target_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        run(["serve", "baseline", "--target", str(tmp_path / "t.yaml"), "--dry-run"])


def test_an_unknown_name_brings_those_that_exist() -> None:
    with pytest.raises(
        UsageError,
        match="unknown variant 'optimised'; did you mean 'optimized'\\? there are: api-.*, baseline, .*prio",
    ):
        run(["serve", "optimised", "--dry-run"])
    with pytest.raises(UsageError, match="unknown target 't5'; there are: cpu-tiny, .*t4-llama2-7b-awq"):
        run(["serve", "baseline", "--target", "t5", "--dry-run"])
    with pytest.raises(UsageError, match="mine.yaml: cannot be read: No such file or directory"):
        read_variant("mine.yaml")
    with pytest.raises(UsageError, match="required: VARIANT"):
        run(["serve", "--dry-run"])


def test_a_variant_of_ones_own_is_named_by_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(VARIANT + "add: [--max-num-seqs 3]\nenvironment: {A: b c}\n")
    assert run(["serve", str(tmp_path / "mine.yaml"), "--target", "t4-llama2-7b-awq", "--dry-run"]) == 0
    assert capsys.readouterr().out == f"A='b c' {T4_COMMAND} --max-num-seqs 3\n"


def test_a_value_may_look_like_a_flags_beginning_and_tokens_are_no_secret() -> None:
    made = variant(add=["--seed -1", "--x '{\"a\": 1}'"], environment={"TOKENIZERS_PARALLELISM": "false"})
    assert len(made.add) == 2


@pytest.mark.parametrize(
    ("names", "secret"),
    [
        ("KEY API_KEYS OPENAI_APIKEY openaiapikey DB_PASSWD SSH_PASSPHRASE AWS_CREDENTIALS", True),
        ("HF_HUB_TOK HF_HUB_TOKEN HFTOKEN AWS_SECRET_ACCESS_KEY CLIENT_SECRETS MY_PASSWORD DB_PWD", True),
        ("TOKENIZERS_PARALLELISM VLLM_MAX_TOKENS VLLM_CPU_KVCACHE_SPACE MONKEY KEY_FORMAT PWD_LOCK", False),
    ],
)
def test_names_that_look_like_secrets(names: str, secret: bool) -> None:
    for name in names.split():
        assert bool(targets.SECRET.search(name)) is secret, name


def test_a_variant_may_serve_another_model() -> None:
    mine = build(target(flags=["--served-model-name m1 m2"]), variant(add=["--model=org/other"]), "m")
    assert (mine.model, mine.served_model) == ("org/other", "m1")
    assert build(target(), variant(add=["--model org/other"]), "m").served_model == "org/other"


@pytest.mark.parametrize(
    ("flags", "url"),
    [
        ([], "http://127.0.0.1:7"),
        (["--host 0.0.0.0"], "http://127.0.0.1:7"),
        (["--host=::"], "http://127.0.0.1:7"),
        (["--host localhost"], "http://127.0.0.1:7"),
        (["--host 127.0.0.1", "--host 10.1.2.3"], "http://10.1.2.3:7"),
        (["--host ::1"], "http://[::1]:7"),
    ],
)
def test_where_a_server_answers(flags: list[str], url: str) -> None:
    assert build(target(flags=flags), variant(), "m", 7).url == url


def test_auto_is_the_cpu_without_a_gpu_and_else_the_best_that_suits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "gpu_name", lambda: None)
    assert resolve_name("auto") == "cpu-tiny"
    monkeypatch.setattr(targets, "gpu_name", lambda: "Tesla T4")
    assert resolve_name("auto") == "t4-llama2-7b-awq"
    assert target_for("NVIDIA H100 80GB HBM3") == "h100-qwen2.5-7b"
    assert target_for("NVIDIA GeForce RTX 3060") == "gpu-qwen2.5-1.5b"
    assert resolve_name("cpu-tiny") == "cpu-tiny"


def test_a_flag_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(NotApplicableError, match="does not fit this target: --enforce-eager is not in"):
        build(target(), variant(remove=["--enforce-eager"]), "m")


def test_a_flag_that_the_target_has_gets_the_new_value_in_place() -> None:
    base = ["--max_num_seqs=4", "--dtype half"]
    assert apply(base, variant(add=["--max-num-seqs 8"])) == [["--max-num-seqs", "8"], ["--dtype", "half"]]
    assert apply(base, variant(remove=["--max-num-seqs"])) == [["--dtype", "half"]]


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ('--compilation-config {"level":3}', ["--compilation-config", '{"level":3}']),
        ('--compilation-config={"level": 3, "a": "b c"}', ['--compilation-config={"level": 3, "a": "b c"}']),
        ('--allowed-origins ["*", "x"]', ["--allowed-origins", '["*", "x"]']),
        ("--compilation-config '{\"level\": 3}'", ["--compilation-config", '{"level": 3}']),
    ],
)
def test_json_is_one_word_and_keeps_its_quotes(flag: str, words: list[str]) -> None:
    assert apply([], variant(add=[flag])) == [words]
    assert build(target(flags=[flag]), variant(), "m").argv[-len(words) - 2 : -2] == words


def test_a_flag_that_the_target_has_twice_is_replaced_once() -> None:
    """The server takes the last, so one that stayed would win over the variant's."""
    base = ["--max-num-seqs 4", "--dtype half", "--max_num_seqs=16"]
    assert apply(base, variant(add=["--max-num-seqs 8"])) == [["--max-num-seqs", "8"], ["--dtype", "half"]]
    twice = build(target(flags=["--served-model-name a", "--served-model-name b"]), variant(), "m")
    assert twice.served_model == "b"


def test_a_flag_that_the_variant_has_twice_is_there_twice() -> None:
    mine = variant(add=["--middleware a.b", "--middleware c.d"])
    assert apply(["--middleware x", "--seed 1"], mine) == [
        ["--middleware", "a.b"],
        ["--middleware", "c.d"],
        ["--seed", "1"],
    ]
    assert apply([], mine) == [["--middleware", "a.b"], ["--middleware", "c.d"]]


@given(commands, commands)
def test_added_flags_are_there_once_and_the_others_stay_in_order(base: list[str], add: list[str]) -> None:
    result = apply(base, variant(add=add))
    kept = [flag_name(flag[0]) for flag in result]
    assert len(set(kept)) == len(kept)
    assert all(flag.split() in result for flag in add)
    before, added = [flag.split()[0] for flag in base], [flag.split()[0] for flag in add]
    assert kept == before + [name for name in added if name not in before]


@given(commands, commands)
def test_removing_what_was_added_gives_the_base_again(base: list[str], add: list[str]) -> None:
    assume(not {flag.split()[0] for flag in base} & {flag.split()[0] for flag in add})
    longer = [shlex.join(flag) for flag in apply(base, variant(add=add))]
    removed = apply(longer, variant(remove=[flag.split()[0] for flag in add]))
    assert removed == [flag.split() for flag in base]


@given(st.text(max_size=12))
def test_whatever_stands_as_a_flag_is_one_flag_or_refused(text: str) -> None:
    try:
        accepted = variant(add=[text])
    except ValueError:
        return
    assert accepted.add[0].lstrip().startswith("-") or shlex.split(text)[0].startswith("-")


def test_the_page_shows_the_command_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "variants.md").read_text()
    assert run(["serve", "optimized", "--target", "t4-llama2-7b-awq", "--dry-run"]) == 0
    assert capsys.readouterr().out in page

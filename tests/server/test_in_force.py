"""What a variant asks for is looked up in the server that runs."""

import pytest

from server.in_force import look
from server.variants import Variant, names, read_variant

LOG = (
    "(APIServer pid=1) INFO 11-29 00:53:08 [utils.py:233] non-default args: {'model': 'm', "
    "'max_num_seqs': 8, 'enforce_eager': True, 'enable_prefix_caching': False, "
    "'scheduling_policy': 'priority', 'api_server_count': 2}"
)


@pytest.mark.parametrize(
    ("asked", "state"),
    [
        ({"add": ["--max-num-seqs 8"]}, "in force"),
        ({"add": ["--max-num-seqs=8"]}, "in force"),
        ({"add": ["--max-num-seqs 16"]}, "not in force"),
        ({"add": ["--max-num-seqs 2k"]}, "not known"),
        ({"add": ["--no-enable-prefix-caching"]}, "in force"),
        ({"add": ["--enable-prefix-caching"]}, "not in force"),
        ({"add": ["--scheduling-policy priority"]}, "in force"),
        ({"add": ["--block-size 16"]}, "not known"),  # it may be the default
        ({"remove": ["--enforce-eager"]}, "not in force"),
        ({"remove": ["--quantization"]}, "in force"),
        ({"add": ["--api-server-count 2"]}, "not in force"),  # it is parsed, and one process serves
        ({"environment": {"VLLM_USE_RUST_FRONTEND": "1"}}, "not in force"),
    ],
)
def test_what_is_in_force(asked: dict[str, object], state: str) -> None:
    variant = Variant(changes="a", expected="b", **asked)  # type: ignore[arg-type]
    [found] = look(variant, ["starting", LOG], ["python", "VLLM::EngineCore"])
    assert found.state == state, found


def test_processes_tell_what_no_argument_does() -> None:
    variant = Variant(
        changes="a",
        expected="b",
        add=["--api-server-count 2"],
        environment={"VLLM_USE_RUST_FRONTEND": "1"},
    )
    running = ["VLLM::APIServer_0", "VLLM::APIServer_1", "vllm-rs"]
    assert [each.state for each in look(variant, [LOG], running)] == ["in force", "in force"]


@pytest.mark.parametrize(
    "line", ["", "non-default args: {'a': <object>}", "non-default args: [1]", "non-default args: {{"]
)
def test_a_log_that_says_nothing_refuses_nothing(line: str) -> None:
    for name in {*names()} - {"api-servers-2", "rust-frontend"}:  # processes tell of these
        assert {each.state for each in look(read_variant(name), [line], [])} <= {"not known"}

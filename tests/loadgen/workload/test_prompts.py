"""Prompts: exactly as long as asked, unlike each other from the first words on, the same for a seed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.places import ROOT
from common.usage import UsageError
from common.words import english
from loadgen.workload.arrival import Arrival
from loadgen.workload.prompts import PromptMaker
from loadgen.workload.scenario import Scenario
from loadgen.workload.schedule import Schedule, schedule
from loadgen.workload.tokenizer import LocalTokenizer
from loadgen.workload.vocabulary import (
    Messages,
    Vocabulary,
    build_vocabulary,
    estimate_vocabulary,
)
from server.model import CHAT_TEMPLATE, TOKENIZER_CONFIG, train_tokenizer

DATA = ROOT / "tests" / "data"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> LocalTokenizer:
    """The CPU model's own tokenizer, from files."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer().save(str(folder / "tokenizer.json"))
    config = {**TOKENIZER_CONFIG, "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return LocalTokenizer(folder)


@pytest.fixture(scope="module")
def vocabulary(tokenizer: LocalTokenizer) -> Vocabulary:
    return build_vocabulary(tokenizer.count_tokens, tokenizer.tokenize_words)


def contents(messages: Messages) -> str:
    return " ".join(message["content"] for message in messages)


def chain(plan: Schedule, first: Arrival) -> Iterator[Arrival]:
    arrival: Arrival | None = first
    while arrival is not None:
        yield arrival
        arrival = plan.next_in_chain(arrival)


def test_the_vocabulary_is_exact_and_survives_json(vocabulary: Vocabulary, tokenizer: LocalTokenizer) -> None:
    assert vocabulary.exact
    assert vocabulary.worst_error == 0
    assert vocabulary.checked == 40
    assert vocabulary.how == "tokenize"
    assert len(vocabulary.words) > 1000
    assert Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict()))) == vocabulary
    slower = build_vocabulary(tokenizer.count_tokens)  # without token strings: by halving
    assert slower.exact
    assert set(slower.words) <= set(vocabulary.words)


@pytest.mark.parametrize("name", ["chat-medium", "rag-xlarge", "mixed", "shared-prefix", "conversation"])
def test_prompts_have_the_asked_number_of_tokens(
    name: str, vocabulary: Vocabulary, tokenizer: LocalTokenizer
) -> None:
    scenario = Scenario.load(name)
    maker = PromptMaker(vocabulary, 1, scenario)
    for arrival in schedule(scenario, 1).arrivals[:40]:
        assert tokenizer.count_tokens(maker.messages(arrival)) == arrival.prompt_asked
        if not arrival.system:
            assert tokenizer.count_tokens(maker.text(arrival)) == arrival.prompt_asked


def test_every_prompt_of_a_run_differs_within_its_first_words(vocabulary: Vocabulary) -> None:
    scenario = Scenario.load("chat-medium")
    maker = PromptMaker(vocabulary, 7, scenario)
    plan = schedule(scenario, 7)
    heads = {tuple(contents(maker.messages(arrival)).split()[:3]) for arrival in plan.arrivals}
    assert len(heads) == len(plan.arrivals)


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**63), st.sampled_from([3, 10, 500]))
@settings(max_examples=200)
def test_no_spelling_begins_another(one: int, other: int, seed: int, size: int) -> None:
    words = english()[:size]
    maker = PromptMaker(replace(estimate_vocabulary(), words=words), seed, Scenario.load("chat-low"))
    one, other = one % (50 * maker._codes), other % (50 * maker._codes)
    first, second = maker._spell(one), maker._spell(other)
    length = min(len(first), len(second))
    assert (first[:length] == second[:length]) == (one == other)


def test_all_numbers_have_spellings_of_their_own() -> None:
    maker = PromptMaker(
        replace(estimate_vocabulary(), words=("a", "b", "c", "d", "e")), 3, Scenario.load("chat-low")
    )
    spelled = [" ".join(maker._spell(number)) for number in range(3 * maker._codes)]
    assert len(set(spelled)) == len(spelled)


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_workers(vocabulary: Vocabulary) -> None:
    scenario = Scenario.load("chat-medium")
    whole = {
        arrival.number: PromptMaker(vocabulary, 5, scenario).messages(arrival)
        for arrival in schedule(scenario, 5).arrivals[:100]
    }
    for lanes in (2, 5):
        for lane in range(lanes):
            maker = PromptMaker(Vocabulary.from_dict(vocabulary.to_dict()), 5, Scenario.load("chat-medium"))
            for arrival in reversed(schedule(scenario, 5).lane(lane, lanes)):
                if arrival.number in whole:
                    assert maker.messages(arrival) == whole[arrival.number]
    other = PromptMaker(vocabulary, 6, scenario).messages(schedule(scenario, 5).arrivals[0])
    assert other != whole[0]


def test_too_short_a_prompt_becomes_the_shortest_unique_one(
    vocabulary: Vocabulary, tokenizer: LocalTokenizer
) -> None:
    scenario = Scenario.load("chat-medium")
    maker = PromptMaker(vocabulary, 1, scenario)
    arrivals = [replace(arrival, prompt_tokens=1) for arrival in schedule(scenario, 1).arrivals[:300]]
    made = [maker.messages(arrival) for arrival in arrivals]
    assert {tokenizer.count_tokens(messages) for messages in made} == {maker.shortest}
    assert len({contents(messages) for messages in made}) == len(made)
    assert maker.shortest <= 10  # chat's shortest prompts can be made


def test_groups_share_their_prefix_and_only_that(vocabulary: Vocabulary) -> None:
    scenario = Scenario.load("shared-prefix")
    maker = PromptMaker(vocabulary, 1, scenario)
    by_group: dict[int | None, list[list[str]]] = {}
    for arrival in schedule(scenario, 1).arrivals[:100]:
        by_group.setdefault(arrival.prefix_group, []).append(contents(maker.messages(arrival)).split())
    assert len(by_group) == 8
    for prompts in by_group.values():
        assert len({tuple(words[:1025]) for words in prompts}) == 1  # the opener and 1,024 words
        assert len({tuple(words[1025:1028]) for words in prompts}) == len(prompts)
    assert len({tuple(prompts[0][:4]) for prompts in by_group.values()}) == len(by_group)


def test_a_conversation_carries_its_history(vocabulary: Vocabulary, tokenizer: LocalTokenizer) -> None:
    scenario = Scenario.load("conversation")
    plan = schedule(scenario, 1)
    maker = PromptMaker(vocabulary, 1, scenario)
    assert contents(maker.messages(plan.arrivals[0])[:1]) == contents(maker.messages(plan.arrivals[1])[:1])
    history: Messages = []
    for turn in chain(plan, plan.arrivals[0]):
        sent = maker.messages(turn, history)
        assert sent[: len(history)] == history
        assert [message["role"] for message in sent] == ["system", *["user", "assistant"] * turn.turn, "user"]
        if turn.turn:
            assert len(sent[-1]["content"].split()) == turn.prompt_tokens
        history = [*sent, {"role": "assistant", "content": "an answer"}]
    assert turn.turn >= 1


def test_a_template_without_system_messages_gets_the_prefix_from_the_user(
    tokenizer: LocalTokenizer, vocabulary: Vocabulary
) -> None:
    def refuses(prompt: str | Messages) -> int:
        if not isinstance(prompt, str) and prompt[0]["role"] == "system":
            raise RuntimeError("400: system role not supported")
        return tokenizer.count_tokens(prompt)

    found = build_vocabulary(refuses, tokenizer.tokenize_words)
    assert found.system_overhead is None
    scenario = Scenario.load("conversation")
    arrival = schedule(scenario, 1).arrivals[0]
    messages = PromptMaker(found, 1, scenario).messages(arrival)
    assert [message["role"] for message in messages] == ["user"]
    assert tokenizer.count_tokens(messages) == arrival.prompt_asked


def test_blocks_of_a_trace_are_shared_as_its_hash_ids_say(
    tmp_path: Path, vocabulary: Vocabulary, tokenizer: LocalTokenizer
) -> None:
    path = tmp_path / "trace.yaml"
    path.write_text(
        f"duration: 4\nwarmup: 0\narrivals: {{process: trace}}\n"
        f"dataset: {{format: mooncake, path: {DATA / 'mooncake.jsonl'}}}\n"
    )
    scenario = Scenario.load(path)
    plan, maker = schedule(scenario, 1), PromptMaker(vocabulary, 1, scenario)
    prompts = [maker.messages(arrival) for arrival in plan.arrivals]
    for arrival, messages in zip(plan.arrivals, prompts, strict=True):
        assert tokenizer.count_tokens(messages) == arrival.prompt_tokens
    words = [contents(messages).split() for messages in prompts]
    assert words[0][:1025] == words[1][:1025] == words[3][:1025]  # two blocks and the opener
    assert words[0][1025] != words[1][1025] or words[0][1026] != words[1][1026]
    assert words[1][1025:] == words[3][1025 : len(words[1])]  # the third block
    assert words[2][:4] != words[0][:4]


def test_a_given_text_is_sent_as_it_is(vocabulary: Vocabulary) -> None:
    scenario = Scenario.load("chat-medium")
    said = (("system", "Be brief."), ("user", "Why?"))
    arrival = replace(schedule(scenario, 1).arrivals[0], dialogue=said)
    maker = PromptMaker(vocabulary, 1, scenario)
    assert [(each["role"], each["content"]) for each in maker.messages(arrival)] == list(said)
    assert maker.text(arrival) == "Be brief.\n\nWhy?"
    assert arrival.dialogue[-1][1] == "Why?"
    assert arrival.prompt_asked is None


def test_an_estimate_says_so(tokenizer: LocalTokenizer) -> None:
    guess = estimate_vocabulary()
    assert not guess.exact
    assert guess.how == "estimate"
    assert guess.worst_error is None
    scenario = Scenario.load("chat-medium")
    maker = PromptMaker(guess, 1, scenario)
    assert all(maker.messages(arrival) for arrival in schedule(scenario, 1).arrivals[:50])


def test_words_that_do_not_hold_in_sequence_are_found_out(tokenizer: LocalTokenizer) -> None:
    """A tokenizer that merges two of our words costs a token less: the error is stated, not hidden."""

    def merges(prompt: str | Messages) -> int:
        text = prompt if isinstance(prompt, str) else contents(prompt)
        return tokenizer.count_tokens(prompt) - (len(text.split()) > 1000)

    found = build_vocabulary(merges, tokenizer.tokenize_words)
    assert not found.exact
    assert found.worst_error == 1


def test_a_tokenizer_of_letters_is_refused() -> None:
    with pytest.raises(UsageError, match="only 1 of our words as one token"):
        build_vocabulary(lambda prompt: len(str(prompt)) - str(prompt).count(" a"))

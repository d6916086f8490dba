"""Datasets: what each format gives, a clear line for each broken row, and reading in pieces."""

import gzip
import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

from common.places import ROOT
from common.usage import UsageError
from loadgen.records.record import SCHEMA
from loadgen.workload.datasets import Row, digest, jsonarray, locate, read_rows

DATA = ROOT / "tests" / "data"


def rows(kind: str, name: str) -> list[Row]:
    return list(read_rows(kind, DATA / name))


def lengths(found: list[Row]) -> list[tuple[int, int | None]]:
    return [(row.prompt_tokens, row.output_tokens) for row in found]


def test_sharegpt_takes_the_first_question_and_its_answer() -> None:
    found = rows("sharegpt", "sharegpt.json")
    assert [row.where.rpartition(" ")[2] for row in found] == ["1", "3", "5"]
    assert found[0].dialogue == (("user", "How do I cook rice so that it does not stick to the pot?"),)
    assert [role for role, _ in found[1].dialogue] == ["system", "user"]
    assert lengths(found)[2] == (len("Name three rivers.") // 4, len("Rhine, Nile, Amazon.") // 4)


def test_openai_batch() -> None:
    found = rows("openai-batch", "openai-batch.jsonl")
    assert found[0].dialogue == (("system", "Be brief."), ("user", "What is a load test?"))
    assert found[1].dialogue == (("user", "Two parts, one question?"),)
    assert [row.output_tokens for row in found] == [64, 32, None]


def test_mooncake() -> None:
    found = rows("mooncake", "mooncake.jsonl")
    assert [row.time for row in found] == [0, 0, 1.5, 3]
    assert [row.blocks for row in found] == [(90, 91, 92), (90, 91, 300), (77,), (90, 91, 300, 301)]
    assert lengths(found) == [(1100, 50), (1300, 20), (400, 7), (2048, 120)]


def test_azure() -> None:
    found = rows("azure", "azure.csv")
    assert [row.time for row in found] == pytest.approx([0, 4.314579, 4.541977, 6.31941], abs=1e-5)
    assert lengths(found) == [(374, 44), (396, 109), (879, 55), (91, 16)]


def test_burstgpt_passes_over_what_failed_then() -> None:
    found = rows("burstgpt", "burstgpt.csv")
    assert [row.time for row in found] == [0, 40, 113]
    assert lengths(found) == [(472, 18), (1087, 230), (1360, 347)]


def test_plain_prompts() -> None:
    found = rows("jsonl", "prompts.jsonl")
    assert [row.dialogue[-1][1] for row in found] == [
        "A prompt that is only a text.",
        "What is a queue?",
        "Go on.",
    ]
    assert [row.output_tokens for row in found] == [None, 40, 12]
    assert [row.time for row in found] == [None, 0, 1]
    assert [row.workload for row in found] == [None, "question", None]


def test_qwen_bailian_has_seconds_blocks_of_16_and_sessions(tmp_path: Path) -> None:
    found = rows("qwen-bailian", "qwen-bailian.jsonl")
    assert [row.time for row in found[:3]] == [0, 0.5, 1] and {row.block_tokens for row in found} == {16}
    assert {row.prompt_tokens - 16 * len(row.blocks) for row in found[:32]} == {521 - 16 * 33}
    path = tmp_path / "turns.jsonl"
    path.write_text(
        "".join(
            json.dumps({"chat_id": chat, "parent_chat_id": parent, "timestamp": chat, "turn": 1,
                        "input_length": 20, "output_length": 3, "hash_ids": [chat, 9]}) + "\n"
            for chat, parent in ((4, -1), (5, -1), (6, 4), (7, 6))
        )
    )  # fmt: skip
    assert [row.session for row in read_rows("qwen-bailian", path)] == ["4", "5", "4", "4"]


@pytest.mark.parametrize(
    ("kind", "file", "said"),
    [
        ("mooncake", "qwen-bailian.jsonl", "row 1: 33 hash_ids for 521 tokens .* `format: qwen-bailian`"),
        ("qwen-bailian", "mooncake.jsonl", "row 1: 3 hash_ids for 1100 tokens .* `format: mooncake`"),
    ],
)
def test_a_trace_of_other_blocks_is_refused(kind: str, file: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        rows(kind, file)


@pytest.mark.parametrize(
    ("kind", "file", "times", "images"),
    [
        ("azure", "azure-2024-layout.csv", [0, 0.007405, 0.99007, 2.49007], [0, 0, 0, 0]),
        ("azure", "azure-2025-multimodal-layout.csv", [0, 1], [2, 0]),
        ("burstgpt", "burstgpt-v2-layout.csv", [0, 51, 82, 144], [0, 0, 0, 0]),
    ],
)
def test_published_layouts_are_read_packed_too(
    tmp_path: Path, kind: str, file: str, times: list[float], images: list[int]
) -> None:
    path = DATA / "traces" / file
    found = list(read_rows(kind, path))
    assert [row.time for row in found] == pytest.approx(times, abs=1e-6)
    assert [row.images for row in found] == images
    (packed := tmp_path / f"{file}.gz").write_bytes(gzip.compress(path.read_bytes()))
    pq.write_table(csv.read_csv(path), columns := tmp_path / "trace.parquet")
    for other in (packed, columns):
        same = list(read_rows(kind, other))
        assert [row._replace(where="") for row in same] == [row._replace(where="") for row in found]


def test_json_lines_are_read_packed_and_as_parquet(tmp_path: Path) -> None:
    lines = (DATA / "mooncake.jsonl").read_bytes()
    (packed := tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    pq.write_table(
        pa.Table.from_pylist([json.loads(line) for line in lines.splitlines()]), columns := tmp_path / "a"
    )
    wanted = [row._replace(where="") for row in rows("mooncake", "mooncake.jsonl")]
    for path in (packed, columns):
        assert [row._replace(where="") for row in read_rows("mooncake", path)] == wanted
    for broken in (packed.read_bytes()[:-20], b"\x1f\x8bno", b"PAR1no"):
        packed.write_bytes(broken)
        with pytest.raises(UsageError, match="a.jsonl.gz: .*(cannot be read|not valid Parquet)"):
            list(read_rows("mooncake", packed))


def test_spans_are_sessions_with_the_pauses_between_their_calls() -> None:
    notes: Counter[str] = Counter()
    found = list(read_rows("otel", DATA / "otel.jsonl", notes=notes))
    assert [(row.time, row.prompt_tokens, row.output_tokens) for row in found] == [
        (0, 900, 40), (0.5, 300, 20), (3.5, 1100, 60), (4, 500, 10), (6.5, 1400, 30),
    ]  # fmt: skip
    assert [row.session for row in found] == ["a1 0", "b2 0", "a1 0", "a1 1", "a1 0"], "4 s: beside another"
    assert [row.pause for row in found] == [None, None, 2, None, 1.5]
    assert [row.blocks for row in found] == [(0,), (1,), (0,), (0,), (0,)]
    assert notes == {"passed over: spans that are no call of a model": 2, NO_TOKENS: 1}


def run_folder(folder: Path, changes: list[dict[str, Any]], start: float | None = 5.0) -> Path:
    base = dict.fromkeys(SCHEMA.names) | {"lane": 0, "workload": "chat", "status": "completed"}
    records = [
        base | {"arrival": k, "due": float(k), "prompt_asked": 50, "output_asked": 9} for k in range(8)
    ]
    records = [record | (changes[k] if k < len(changes) else {}) for k, record in enumerate(records)]
    pq.write_table(pa.Table.from_pylist(records[::-1], schema=SCHEMA), folder / "requests.parquet")
    if start is not None:
        (folder / "manifest.json").write_text(json.dumps({"window": {"start": start, "end": 9.0}}))
    return folder


def test_a_run_is_replayed_from_its_window_in_order(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [{}] * 6 + [
        {"prompt_asked": None, "prompt_tokens": 61, "workload": "rag"}
    ]
    path = locate(run_folder(tmp_path, changes))
    found = list(read_rows("run", path, digest(path)))
    assert [row.time for row in found] == [0, 1, 2]
    assert [row.prompt_tokens for row in found] == [50, 61, 50]
    assert [row.workload for row in found] == ["chat", "rag", "chat"]


def test_a_run_without_a_manifest_is_replayed_whole(tmp_path: Path) -> None:
    assert len(list(read_rows("run", locate(run_folder(tmp_path, [], start=None))))) == 8


def test_an_unfinished_text_has_the_median_length_of_its_workload(tmp_path: Path) -> None:
    text: dict[str, Any] = {"prompt_asked": None, "workload": "rag"}
    lengths = [text | {"prompt_tokens": tokens} for tokens in (100, 900, 300)]  # in the warm-up
    unknown = [text, text | {"status": "failed"}]
    path = locate(run_folder(tmp_path, [*lengths, {}, {}, {}, *unknown]))
    notes: Counter[str] = Counter()
    found = list(read_rows("run", path, notes=notes))
    assert [(row.workload, row.prompt_tokens) for row in found] == [("chat", 50), ("rag", 300), ("rag", 300)]
    assert notes == {"without a known prompt length: taken as the median of their workload": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt_asked": None, "workload": "rag"}, "has no prompt length, nor has another of workload rag"),
        ({"output_asked": None}, "has no output length"),
    ],
)
def test_a_run_whose_lengths_nobody_knows_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = locate(run_folder(tmp_path, [{}] * 5 + [change]))
    with pytest.raises(UsageError, match=f"requests.parquet: arrival 5: {message}"):
        list(read_rows("run", path))


NO_TOKENS = "passed over: 0 tokens in the prompt or the answer"
UNANSWERED = "passed over: no question with its answer"
HALF = "passed over: half a character in the question, which no request can hold"


def exchange(*texts: str | None) -> dict[str, Any]:
    """A conversation of ShareGPT: question, answer, question, …"""
    return {
        "conversations": [
            {"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)
        ]
    }


@pytest.mark.parametrize(
    ("kind", "text", "note"),
    [
        ("azure", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16,5,0\n2023-11-17,0,5\n2023-11-18,5,5\n",
         NO_TOKENS),
        ("burstgpt", "Timestamp,Request tokens,Response tokens\n3,5,0\n4,0,5\n5,5,5\n", NO_TOKENS),
        ("mooncake", '{"timestamp": 0, "input_length": 5, "output_length": 0}\n'
         '{"timestamp": 1, "input_length": 0, "output_length": 5}\n'
         '{"timestamp": 2, "input_length": 5, "output_length": 5}\n', NO_TOKENS),
        ("sharegpt", json.dumps([exchange("a", None), exchange(None, "b"), exchange("a", "b")]), UNANSWERED),
        ("sharegpt", json.dumps([{"conversations": None}, exchange(), exchange("a", "b")]), UNANSWERED),
        ("sharegpt", json.dumps([exchange("\ud83d", "b"), exchange("a \ud83d", "b"), exchange("a", "b")]),
         HALF),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_sent_are_passed_over_and_counted(
    tmp_path: Path, kind: str, text: str, note: str
) -> None:
    path = tmp_path / "some.data"
    path.write_text(text)
    notes: Counter[str] = Counter()
    found = list(read_rows(kind, path, notes=notes))
    assert len(found) == 1 and found[0].time in (0, None), "times count from the first that is sent"
    assert notes == {note: 2}


def test_what_comes_after_the_answer_is_not_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "later.json"
    path.write_text(json.dumps([exchange("a", "b \ud83d", "\ud83d", None)]))
    notes: Counter[str] = Counter()
    assert [row.dialogue for row in read_rows("sharegpt", path, notes=notes)] == [(("user", "a"),)]
    assert not notes


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("sharegpt", "", "must be a JSON array, is empty"),
        ("sharegpt", '{"a": 1}', "must be a JSON array"),
        ("sharegpt", '[{"conversations": []}, {"id": 1}]', "row 2: conversations is missing"),
        ("sharegpt", '[{"conversations": [{"from": "human"}]}]', "row 1: message 1: needs from and value"),
        ("sharegpt", '[{"conversations": 5}]', "row 1: conversations must be a list"),
        ("sharegpt", '[{"conversations": []} {"conversations": []}]', "row 1: no comma after it"),
        ("sharegpt", '[{"conversations": []}, {"conver', "row 2: the file ends within it"),
        ("sharegpt", '[{"conversations": []}', "row 1: the file ends after it"),
        ("sharegpt", '[{"conversations": []}, {nonsense: 1, "and": "much more"}]', "row 2: not valid JSON"),
        ("sharegpt", '[{"conversations": []}, 7]', "row 2: must be a JSON object, is a number"),
        ("sharegpt", '[{"conversations": []}, ' + "9" * 5000 + "]", "row 2: not valid JSON: Exceeds"),
        ("sharegpt", "[" * 100_000, "row 1: not valid JSON: lists or objects within each other, too many"),
        ("openai-batch", '{"body": {}}\n', "row 1: body.messages is missing"),
        ("openai-batch", '\n{"custom_id": 1}\n', "row 2: body: must be a JSON object"),
        ("openai-batch", '{"body": {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}}\n',
         "row 1: message 1: only parts of type text"),
        ("openai-batch", '{"body": {"messages": [{"role": "user", "content": "a"}], "max_tokens": 0}}\n',
         "row 1: max_tokens is 0, must be 1 to"),
        ("mooncake", '{"timestamp": 0, "input_length": 5, "output_length": 5}\n{"timestamp": 1',
         "row 2: not valid JSON: Expecting ',' delimiter at character 16"),
        ("mooncake", '{"timestamp": 0, "input_length": -5, "output_length": 5}\n', "input_length is -5"),
        ("mooncake", '{"timestamp": 0, "input_length": "x", "output_length": 5}\n', "row 1: input_length is"),
        ("mooncake", '{"timestamp": "now", "input_length": 5, "output_length": 5}\n', "row 1: timestamp is"),
        ("mooncake", '{"timestamp": NaN, "input_length": 5, "output_length": 5}\n', "timestamp is nan"),
        ("mooncake", '{"input_length": 5, "output_length": 5}\n', "row 1: timestamp is missing"),
        ("mooncake", '{"timestamp": 0, "input_length": 5, "output_length": 5, "hash_ids": ["a"]}\n',
         "row 1: hash_ids"),
        ("mooncake", '{"timestamp": 9, "input_length": 5, "output_length": 5}\n'
         '{"timestamp": 2, "input_length": 5, "output_length": 5}\n', "row 2: its time is before"),
        ("azure", "TIMESTAMP,Context\n", "row 1: the heading has no column ContextTokens, GeneratedTokens"),
        ("azure", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,5,5\nsoon,5,5\n",
         "row 3: TIMESTAMP is not a date"),
        ("azure", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,5\n", "row 2: has another"),
        ("azure", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,5.5,5\n",
         "row 2: ContextTokens is not a whole number: '5.5'"),
        ("burstgpt", "Timestamp,Request tokens,Response tokens\n-4,5,5\n", "row 2: Timestamp is -4"),
        ("burstgpt", "Timestamp,Request tokens,Response tokens\n4,-1,5\n", "row 2: Request tokens is -1"),
        ("azure", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16,5,5\nx," + "5" * 200_000 + ",5\n",
         "row 3: not valid CSV: field larger"),
        ("azure", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,5," + "x" * 999 + "\n",
         "row 2: GeneratedTokens is not a whole number: 'x{39}…$"),
        ("burstgpt", "Timestamp,Request tokens,Response tokens\n4,5,10000001\n", "10000001, must be 0 to 10"),
        ("mooncake", '{"timestamp": 0, "input_length": 5, "output_length": null}\n', "output_length is null"),
        ("mooncake", '{"timestamp": ' + "9" * 400 + ', "input_length": 5, "output_length": 5}\n',
         "row 1: timestamp is 9{40}…, must be a finite number"),
        ("mooncake", '{"timestamp": 0, "input_length": 5, "output_length": 5, "hash_ids": [true]}\n',
         "row 1: hash_ids"),
        ("jsonl", "[" * 100_000 + "\n", "row 1: not valid JSON: lists or objects within each other"),
        ("jsonl", "null\n", "row 1: must be a JSON object, is null"),
        ("jsonl", '"\\ud83d"\n', r"row 1: '.ud83d' is half a character"),
        ("jsonl", '{"messages": [{"role": "user", "content": "\\ud83d"}]}\n', "row 1: '.ud83d' is half"),
        ("jsonl", '""\n', "row 1: needs prompt"),
        ("jsonl", '{"prompt": "a", "workload": 4}\n', "row 1: workload must be a text"),
        ("jsonl", '{"prompt": "a", "output_tokens": true}\n', "row 1: output_tokens is not a whole number"),
        ("jsonl", '{"prompt": "a", "output_tokens": 1.5}\n', "row 1: output_tokens is not a whole number"),
        ("run", "not parquet at all", "not a run's records"),
    ],
)  # fmt: skip
def test_a_broken_row_is_named_with_file_row_and_reason(
    tmp_path: Path, kind: str, text: str, message: str
) -> None:
    path = tmp_path / "broken.data"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        list(read_rows(kind, path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2 * len(str(path)) + 200  # one line, however much the row holds


@pytest.mark.parametrize(
    ("kind", "row", "place"),
    [
        ("jsonl", b'"a"\n', "row 3: not UTF-8 text"),
        ("mooncake", b'{"timestamp": 0, "input_length": 5, "output_length": 5}\n', "row 3: not UTF-8 text"),
        ("azure", b"TIMESTAMP,ContextTokens,GeneratedTokens\n", "row 1: the heading is not UTF-8 text"),
        ("sharegpt", b"[", "row 1 or later: not UTF-8 text"),
    ],
)
def test_what_is_no_text_is_named_with_its_row(tmp_path: Path, kind: str, row: bytes, place: str) -> None:
    path = tmp_path / "broken.data"
    path.write_bytes((row * 2 if "row 3" in place else b"") + b'"\xff\xfe"\n' + row)
    if kind == "sharegpt":
        path.write_bytes(row + b'{"conversations": [{"from": "human", "value": "\xff"}]}]')
    with pytest.raises(UsageError, match=place):
        list(read_rows(kind, path))


def test_a_csv_row_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    row = b"2023-11-16 18:15:46.6805900,5,5\n"
    path.write_bytes(
        b"TIMESTAMP,ContextTokens,GeneratedTokens\n" + row * 1000 + row.replace(b",5,", b",\xff,")
    )
    with pytest.raises(UsageError, match="row 1002: ContextTokens is not a whole number"):
        list(read_rows("azure", path))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("jsonl", '"a"\n"b"\n'),
        ("azure", "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "2023-11-16 18:15:46,5,5\n" * 2),
        ("sharegpt", json.dumps([{"conversations": [{"from": "human", "value": "a"},
                                                    {"from": "gpt", "value": "b"}]}] * 2)),
    ],
)  # fmt: skip
def test_a_byte_order_mark_does_no_harm(tmp_path: Path, kind: str, text: str) -> None:
    path = tmp_path / "marked.data"
    path.write_text(text, encoding="utf-8-sig")
    assert len(list(read_rows(kind, path))) == 2


def test_parquet_without_our_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"due": [1.0]}), path)
    with pytest.raises(UsageError, match="not a run's records"):
        list(read_rows("run", path))


text = st.text(st.characters(exclude_categories=["Cs"]))  # no lone surrogates: they have no UTF-8
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=8), st.integers(1, 9), st.sampled_from([None, 1]))
@settings(max_examples=150)
def test_an_array_read_in_pieces_is_the_array(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], piece: int, indent: int | None
) -> None:
    path = tmp_path_factory.mktemp("array") / "values.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=False), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonarray, "CHUNK", piece)
        assert [value for _, value in jsonarray.elements(path)] == values


def test_a_large_file_is_not_read_beyond_what_is_asked(tmp_path: Path) -> None:
    """The rows before a broken one are there, so the file was not read as a whole."""
    good = json.dumps(
        {"conversations": [{"from": "human", "value": "a" * 999}, {"from": "gpt", "value": "b"}]}
    )
    path = tmp_path / "large.json"
    path.write_text("[" + ",".join([good] * 2000) + ", broken and more of it")
    found = list(islice(read_rows("sharegpt", path), 1500))
    assert len(found) == 1500
    with pytest.raises(UsageError, match="row 2001: not valid JSON"):
        list(read_rows("sharegpt", path))

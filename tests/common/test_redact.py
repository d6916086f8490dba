"""No secret is written or printed: known ones in any form, and what looks like one."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.redact import HIDDEN, _looks, hide_known, redact
from common.results import write_json, write_whole

KEY = "a b/c+\"quoted\\key'"
SECRET = "Zx9Yw8Vu7Ts6"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("TOKENSWARM_EXAMPLE_TOKEN", "known-by-its-name")


@given(before=st.text(), after=st.text())
def test_a_known_key_is_hidden_wherever_it_stands(before: str, after: str) -> None:
    text = f"{before}{KEY}{after} known-by-its-name"
    for found in (hide_known(text), redact(text)):
        assert KEY not in found and "known-by-its-name" not in found and HIDDEN in found


@pytest.mark.parametrize(
    "text",
    [
        f"Incorrect API key provided: {KEY}.",
        "http://h/?q=a%20b%2Fc%2B%22quoted%5Ckey%27",
        json.dumps({"error": KEY}),
    ],
)
def test_a_known_key_is_hidden_as_urls_and_json_have_it(text: str) -> None:
    assert "quoted" not in hide_known(text)


@pytest.mark.parametrize(
    "text",
    [
        *(f"http://h:1/v1?{name}={SECRET}" for name in ("api_key", "key", "token", "sig", "X-Amz-Signature")),
        *(
            f"http://h/?a=b&{name}={SECRET}#c"
            for name in ("apikey", "access_token", "client_secret", "password")
        ),
        f"http://user:{SECRET}@h:1/v1",
        f"https://{SECRET}@h/v1",
        f"redirects to HTTPS://u:{SECRET}@h",
        f"authorization: Bearer {SECRET}",
        f"Proxy-Authorization: Basic {SECRET}",
        f"vllm serve m --api-key {SECRET} --port 1",
        f'["--api-key", "{SECRET}"]',
        f"VLLM_API_KEY={SECRET} vllm serve m",
        f"X-API-Key: {SECRET}",
        f"your key sk-{SECRET}{SECRET} is wrong",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    assert SECRET not in redact(text) and HIDDEN in redact(text)
    whole = json.loads(redact(json.dumps({"text": text, "next": [text, 5]})))
    assert SECRET not in str(whole) and whole["next"][1] == 5


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/v1?rate=5&max_tokens=10&seed=1",
        "vllm serve m --max-num-batched-tokens 2048 --max-num-seqs 8 and 12 tokens: 5",
        "Time to first token: first_token - sent. Time per output token: (last_token - first_token)",
        "meta-llama/Llama-3.1-8B at http://gpu:8000, mail a@b.example",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert redact(text) == text


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)
    )
)
def test_json_stays_json(content: object) -> None:
    json.loads(redact(json.dumps({"any": content, "with": f"--api-key {SECRET}"}, ensure_ascii=False)))


@pytest.mark.parametrize(
    "piece",
    ["a-", "token:", "passw", "?key", "api-key", "_token", "a.", "://", "--a-", "Bearer ", ";a=", "sk-"],
)
def test_a_long_text_takes_no_longer_for_each_of_its_characters(piece: str) -> None:
    """It takes 0.02 to 0.3 s; with time that grows as the square, minutes on any machine."""
    began = time.process_time()
    redact(piece * 40_000)
    assert time.process_time() - began < 20.0


def test_files_hold_no_secret(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"command": f"serve --api-key {SECRET}", "said": f"no such key: {KEY}"})
    write_whole(tmp_path / "a.html", f"<p>no such key: {KEY}</p>")
    assert json.loads((tmp_path / "a.json").read_text())["said"] == f"no such key: {HIDDEN}"
    for path in tmp_path.iterdir():
        assert SECRET not in path.read_text() and "quoted" not in path.read_text()


PIECES = ("Bearer ", "authorization", " token", "api-key", "--", ":", "=", "?", "://", "@", "SK-", "hf_")


@given(st.lists(st.sampled_from(PIECES) | st.text("aZ1_-", min_size=8, max_size=20), max_size=6).map("".join))
def test_what_looks_like_a_secret_has_a_mark(text: str) -> None:
    """Texts without one are not searched."""
    mark, *looks = _looks()
    assert mark.search(text) or not any(look.search(text) for look in looks)

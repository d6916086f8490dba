"""Figures and words of a report that can be said aloud: odd ones that were seen, each with its kind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.synthetic import make_run
from reports.commands.assembly import assemble
from reports.comparison import pairs
from reports.document.metric import Change, Metric
from reports.pages import sections_evidence, sections_roofline
from reports.pages.first_screen import mark_of
from reports.pages.render import markdown_table
from reports.runs.runs import load_run
from reports.text import formatting
from reports.verdict.rules import agreement
from reports.verdict.validity import check
from tests.support.auditing import audited
from tests.support.make_comparison import make_comparison
from tests.support.make_foreign import make_vllm
from tests.support.make_report import make_pair


def test_one_is_no_plural() -> None:
    said = [formatting.counted(number, "worker") for number in (0, 1, 2, 1207)]
    assert said == ["0 workers", "1 worker", "2 workers", "1,207 workers"]


@given(st.floats(-1, 0, exclude_max=True), st.floats(0, 500))
def test_no_interval_goes_from_a_fall_to_thousands_of_per_cent(low: float, high: float) -> None:
    text = formatting.span(low, high)
    assert ("×" in text) is (high + 1 >= 10) and "nan" not in text
    assert formatting.span(-1.0, 33.6) == "×0 to ×34.6"


@given(st.floats(0.1, 1e6), st.floats(5, 600))
def test_no_window_shows_a_time_longer_than_itself(time: float, window: float) -> None:
    """4008 s were said of a window of 20 s."""
    text = pairs._seconds(time, window)
    assert ("longer than the window" in text) is (time >= window)


def test_a_largest_batch_is_a_number_of_requests() -> None:
    assert [sections_roofline._whole(batch) for batch in (91.8, 1e4, None)] == ["91", "10,000", "n/a"]


def test_what_was_not_checked_says_so_once(tmp_path: Path) -> None:
    runs = make_pair(tmp_path, duration=5.0)
    comparison = make_comparison(runs)
    rules = [rule for rule in check(runs[0]) if not rule.checked]
    assert rules and not [rule.text for rule in rules if rule.text.startswith("not checked")]
    comparison.runs[0].rules[0] = (
        comparison.runs[0].rules[0].model_copy(update={"checked": False, "text": rules[0].text})
    )
    table = markdown_table(sections_evidence._rules(comparison.runs[0]))
    assert table.count("not checked") == 1


def test_what_the_load_sets_and_what_is_equal_is_not_a_difference_looked_for(tmp_path: Path) -> None:
    comparison = assemble(
        make_pair(tmp_path), baseline="baseline", minimum_effect=0.03, name="n", command="c"
    )
    offered = next(metric for metric in comparison.metrics if metric.name == "offered_rate")
    failed = next(metric for metric in comparison.metrics if metric.name == "failed")
    none: dict[str, Any] = {"mark": "no difference shown", "change": 0.0, "display": "0.0 %"}

    def said(metric: Metric, **change: Any) -> str:
        return mark_of(metric, metric.changes[0].model_copy(update=none | change), 0.03)[0]

    assert said(offered) == "= set by the load"
    assert said(failed, low=None, high=None) == "= equal"
    assert said(failed, low=None, high=None, display="+1.0 %") == "= no difference shown"


@given(st.floats(0, 0.2), st.floats(0, 0.2), st.floats(0, 0.1))
def test_the_narrower_interval_never_has_the_weaker_word(one: float, other: float, effect: float) -> None:
    """'= equal' stood beside a wide interval, and 'no difference shown' beside a narrow one."""
    metric = Metric.model_construct(better="lower")
    words = []
    for width in sorted((one, other)):
        change = Change.model_construct(
            mark="no difference shown", low=-width, high=width, display="0.0 %" if width == one else "+0.1 %"
        )
        words.append("the same" in mark_of(metric, change, effect)[0])
    assert words[0] >= words[1]


def test_tokens_of_requests_that_did_not_complete_explain_no_more_than_there_is(tmp_path: Path) -> None:
    """'of which up to 55890 may be of requests that did not complete', of a difference of 384."""
    make_run(tmp_path / "run", duration=20)
    run = load_run(tmp_path / "run")
    counter = "vllm:generation_tokens_total"
    server = run.server.increase(counter, -np.inf, np.inf)
    assert server
    for allowed, said in ((55890.0, "explain the 384 more"), (100.0, "explain 100 of the 384 more")):
        rule = agreement._counts_agree(run, "server_output_tokens", counter, server - 384, allowed)
        assert rule.text.endswith(said), rule.text


def test_two_files_of_two_rates_whose_figures_are_right(tmp_path: Path) -> None:
    """'Its records do not support that: +97.2 %' was said of 10/s and 20/s."""
    paths = [
        make_vllm(tmp_path / f"at-{rate:g}.json", int(40 * rate), None, 64, rate, seed=int(rate))
        for rate in (10.0, 20.0)
    ]
    _, found, _ = audited(*paths)
    assert not [each for each in found.checks if each.outcome == "not supported"]
    assert "Every figure of at-10 and at-20 that can be checked is supported" in found.title
    assert found.title.endswith("; the loads differ")
    assert "so the change is no effect of the server" in found.paragraph
    claims = json.loads(paths[1].read_text())
    claims["median_ttft_ms"] *= 2
    paths[1].write_text(json.dumps(claims))
    _, found, _ = audited(*paths)
    assert found.title.startswith("1 of 12 claims of at-10 and at-20 is not supported: TTFT p50 is claimed ")

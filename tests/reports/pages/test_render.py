"""The report's pages: whole, safe, the same each time, and small however large the run."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from common.places import ROOT
from reports.charts import changes, figures, svg
from reports.charts.chart import Chart, Panel, Series, log_ticks, plain
from reports.document.schema import Comparison
from reports.pages import render, sections, sections_evidence
from reports.runs.runs import Run
from reports.text import escape, formatting
from tests.support.make_comparison import make_comparison
from tests.support.make_report import make_pair

SECTIONS = [
    "Result",
    "Why",
    "What next",
    "Appendix A: all figures",
    "Appendix B: rules of the verdicts",
    "Appendix C: configuration",
    "Appendix D: roofline",
    "Appendix E: accounting",
]
EVIL = "</script><img src=x onerror=alert(1)>|`**b**`[l](javascript:1)$x$ \x1b[31m\u202e\n# h & <b>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return make_pair(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def report(runs: list[Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    render.render(make_comparison(runs), runs, folder)
    return folder


class Page(HTMLParser):
    """What a browser would load or run, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.tags: list[str] = []
        self.headings: list[str] = []
        self.shown: list[str] = []
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "action") or (name == "href" and tag != "a"):
                self.loads.append(value or "")
            if name == "href" and tag == "a" and re.match(r"(?i)\s*([a-z]+:|//)", value or ""):
                self.loads.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "h2" in self._inside:
            self.headings.append(data)
        if not {"script", "style"} & set(self._inside):
            self.shown.append(data)


def test_both_pages_hold_the_body_and_the_appendices_in_order(report: Path) -> None:
    readme = (report / "README.md").read_text()
    assert re.findall(r"^## (.*)$", readme, re.M) == SECTIONS
    assert Page((report / "report.html").read_text()).headings == SECTIONS


def test_every_figure_is_in_both_pages(report: Path) -> None:
    readme, page = ((report / name).read_text() for name in ("README.md", "report.html"))
    linked = re.findall(r"\]\(figures/([\w-]+)\.svg\)", readme)
    assert sorted(linked) == sorted(path.stem for path in (report / "figures").iterdir())
    assert {"comparison", "distributions", "timeline-0", "timeline-1", "waterfall", "roofline"} <= set(linked)
    for name in linked:
        assert f'data-chart="{name}"' in page


def test_the_page_loads_nothing_from_elsewhere(report: Path) -> None:
    text = (report / "report.html").read_text()
    page = Page(text)
    assert page.loads == []
    assert "default-src 'none'" in text
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    assert style and "url(" not in style[1] and "@import" not in style[1]
    for path in (report / "figures").iterdir():
        root = ElementTree.parse(path).getroot()
        for element in root.iter():
            for name, value in element.attrib.items():
                assert not (name.endswith("href") and not value.startswith("#")), (path, value)


def test_the_same_runs_give_the_same_bytes(runs: list[Run], report: Path, tmp_path: Path) -> None:
    render.render(make_comparison(runs, written_at="2026-02-03T04:05:06+00:00"), runs, tmp_path)
    for path in [path for path in report.rglob("*") if path.is_file()]:
        again = (tmp_path / path.relative_to(report)).read_text()
        again = again.replace("2026-02-03T04:05:06+00:00", "not said")
        assert _squeezed(again) == _squeezed(path.read_text()), path


def _squeezed(text: str) -> str:
    return re.sub(r"[ -]+", " ", text)  # the date widens a column of the Markdown table


def test_hostile_text_stays_text(runs: list[Run], tmp_path: Path) -> None:
    render.render(make_comparison(runs, EVIL), runs, tmp_path)
    plain_page = Page(render.page("t", *_parts(make_comparison(runs), runs)))
    page = Page((tmp_path / "report.html").read_text())
    assert page.tags.count("script") == plain_page.tags.count("script")
    assert "img" not in page.tags and page.handlers == []
    assert "<img src=x onerror=alert(1)>" in "".join(page.shown)
    readme = (tmp_path / "README.md").read_text()
    prose = re.sub(r"(`{3,})\w*\n.*?\n\1", "", readme, flags=re.S)
    assert not re.search(r"(?<!\\)<(img|/script|b)\b", prose)
    assert not re.search(r"(?<!\\)\]\(javascript", prose)
    assert "\x1b" not in readme and "\u202e" not in readme
    for line in prose.splitlines():
        if line.startswith("|"):  # every row of a table keeps its number of cells
            assert line.endswith(" |")


def test_hostile_names_of_variants_stay_text(tmp_path: Path) -> None:
    runs = make_pair(tmp_path / "runs")
    for run in runs:
        object.__setattr__(run.manifest, "variant", f"{run.manifest.variant}基{EVIL}")
    render.render(make_comparison(runs), runs, tmp_path / "report")
    for path in (tmp_path / "report" / "figures").iterdir():
        ElementTree.parse(path)  # well-formed
        assert "<img" not in path.read_text()
    page = Page((tmp_path / "report" / "report.html").read_text())
    assert "img" not in page.tags and page.loads == []


def _parts(
    comparison: Comparison, runs: list[Run]
) -> tuple[Comparison, list[sections.Section], dict[str, Chart]]:
    charts = {chart.name: chart for chart in figures.charts(comparison, runs)}
    return comparison, sections.sections(comparison, charts), charts


def test_markdown_tables_keep_their_columns(runs: list[Run]) -> None:
    comparison, found, _ = _parts(make_comparison(runs, EVIL), runs)
    for section in found:
        for block in section.blocks:
            if block.kind == "table":
                lines = render.markdown_table(block).splitlines()
                cells = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
                assert set(cells) == {len(block.columns) + 1}
                assert len(lines) == len(block.rows) + 2


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def-123",
        "curl -H 'Authorization: Basic abc.def-123'",
        "vllm serve m --api-key abc.def-123 --port 1",
        "vllm serve m --hf-token=abc.def-123",
        "OPENAI_API_KEY=abc.def-123 vllm serve m",
        "X-API-Key: abc.def-123",
    ],
)
def test_keys_and_headers_are_not_written(text: str) -> None:
    assert "abc.def-123" not in escape.clean(text)
    assert escape.clean(text).replace("***", "abc.def-123").split()[0] == text.split()[0].split("***")[0]


def test_flags_that_only_look_like_keys_stay() -> None:
    text = "vllm serve m --max-num-batched-tokens 2048 --max-num-seqs 8 and 12 tokens: 5"
    assert escape.clean(text) == text


def test_markdown_and_links_escape() -> None:
    assert escape.markdown("- a|b_c __d__ num_seqs") == "\\- a\\|b_c \\_\\_d\\_\\_ num_seqs"
    assert escape.markdown("1. x") == "1\\. x"
    assert escape.markdown_code("a ``` b", "sh").startswith("````sh\n")
    assert escape.link("javascript:alert(1)") == "./javascript%3Aalert%281%29"
    assert escape.link("//host/x").startswith("./host")


def test_one_variant_alone_and_an_unknown_server(tmp_path: Path) -> None:
    runs = make_pair(tmp_path / "runs")[:1]
    object.__setattr__(runs[0].manifest, "server", None)
    render.render(make_comparison(runs), runs, tmp_path / "report")
    readme = (tmp_path / "report" / "README.md").read_text()
    assert "No roofline: the launcher did not start the server" in readme
    assert not (tmp_path / "report" / "figures" / "comparison.svg").exists()


def test_a_run_in_which_nothing_completes(tmp_path: Path) -> None:
    runs = make_pair(tmp_path / "runs", hung_share=1.0, failed_share=0.0)
    render.render(make_comparison(runs), runs, tmp_path / "report")
    readme = (tmp_path / "report" / "README.md").read_text()
    assert "> " in readme or "\\> " in readme


def test_old_figures_do_not_stay(runs: list[Run], tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "timeline-7.svg").write_text("old")
    render.render(make_comparison(runs), runs, tmp_path)
    assert not (tmp_path / "figures" / "timeline-7.svg").exists()


def test_figures_stay_small_when_runs_are_large(tmp_path: Path) -> None:
    runs = make_pair(tmp_path, rate=1000.0, duration=30.0, output=3, tpot=0.001, ttft=0.001)
    charts = figures.charts(make_comparison(runs), runs)
    for chart in charts:
        for panel in chart.panels:
            for series in panel.series:
                assert len(series.x) <= 1600, (chart.name, series.name)
    waterfall = next(chart for chart in charts if chart.name == "waterfall")
    assert "60 of" in waterfall.caption


def test_a_change_that_is_only_bounded_is_drawn_as_an_arrow(runs: list[Run]) -> None:
    comparison = make_comparison(runs)
    bounds = {"ttft_p99": (4.0, None), "latency_p99": (None, -0.5), "tpot_p99": (None, None)}
    for metric in comparison.metrics:
        if metric.name in bounds:
            above, below = bounds[metric.name]
            low = None if above is None else -0.99  # a wide interval must not turn the arrow
            unknown = {"change": None, "low": low, "high": below, "above": above, "below": below}
            metric.changes[0] = metric.changes[0].model_copy(update=unknown)
    chart = changes.changes(comparison)
    assert chart is not None
    panel = chart.panels[0]
    arrows = {
        (series.symbol, panel.y_names[round(row)].split(" ")[0], ratio)  # type: ignore[index]
        for series in panel.series
        for row, ratio in zip(series.y, series.x, strict=True)
        if series.symbol != "dot"
    }
    assert arrows == {("above", "TTFT", 5.0), ("below", "Latency", 0.5)}
    assert "TPOT p99 ↓ n/a" in panel.y_names  # type: ignore[operator]
    page = render.page("t", *_parts(comparison, runs))
    assert 'class="above"' in page and 'class="below"' in page


def test_a_bound_that_lies_far_above_points_to_the_right_of_same(runs: list[Run]) -> None:
    """The arrow of '> +839.9 %' stood at the far left and read as an improvement."""
    comparison = make_comparison(runs)
    metric = next(each for each in comparison.metrics if each.name == "ttft_p50")
    found = {"change": None, "low": -0.9999, "high": None, "above": 8.399, "display": "> +839.9 %"}
    metric.changes[0] = metric.changes[0].model_copy(update=found)
    chart = changes.changes(comparison)
    assert chart is not None
    drawn = svg.draw(chart).decode()
    arrow = re.search(r'<path class="above" d="M([\d.]+) [\d.]+L([\d.]+)', drawn)
    same = re.search(r'<path class="mark" d="M([\d.]+)', drawn)
    assert arrow and same and float(arrow[2]) > float(arrow[1]) > float(same[1])


def test_the_page_is_small_and_every_drawing_tells_its_values(report: Path) -> None:
    text = (report / "report.html").read_text()
    assert len(text) < 1_000_000
    drawings = re.findall(r"<svg.*?</svg>", text, re.S)
    assert len(drawings) >= 6
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.findall(".//title"), "a place that says its value when pointed at"
        assert "nan" not in drawing.lower().replace("finance", "")


def test_a_legend_has_as_many_lines_as_its_names_need() -> None:
    """The seventh variant has the first one's colour, but not its dashes."""
    names = ["baseline", *(f"variant-{number}" for number in range(7))]
    lines = [Series(name, [0.0, 1.0], [0.0, 1.0], variant=place) for place, name in enumerate(names)]
    chart = Chart("c", "C", "", "", [Panel("p", "x", "y", lines)] * 3)
    root = ElementTree.fromstring(svg.draw(chart))
    texts = [each for each in root.iter() if each.tag.endswith("text") and each.text in names]
    assert len(texts) == 3 * len(names)
    assert len({each.get("y") for each in texts}) > 1
    assert all(float(each.get("x", 0)) < svg.WIDE / 3 for each in texts)
    looks = {(line.color, line.dash) for line in lines}
    assert len(looks) == len(lines)


def test_only_the_commit_is_cut(runs: list[Run]) -> None:
    found = make_comparison(runs)
    found.runs[0].conditions |= {
        "kernel": "6.18.44-fc-v657-amd64",
        "vLLM": "0.32.0rc1.dev7+g0123456",
        "tokenswarm": "0" * 40,
    }
    table = sections.facts(found)
    shown = {name.text: cell.text for name, cell in table.rows}
    assert "vLLM 0.32.0rc1.dev7+g0123456, tokenswarm 000000000000, " in shown["Versions"]
    assert shown["Versions"].endswith("kernel 6.18.44-fc-v657-amd64")


def test_the_summary_s_facts_have_no_head(report: Path) -> None:
    """They are rows of a name and a value each; the first of them is no heading of the others."""
    page = (report / "report.html").read_text()
    summary = page.split("Appendix C: configuration</h2>")[1].split("</table>")[0]
    assert "Written" in summary and "<th" not in summary


def test_ticks() -> None:
    assert [text for _, text in log_ticks(30, 1200)] == ["50", "100", "200", "500", "1000"]
    assert [text for _, text in log_ticks(0.5, 2e6)] == ["1", "10", "100", "1000", "10k", "100k", "1M"]
    assert plain(0.05) == "0.05"


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (4.4, 9.9, "5 6 7 8 9"),
        (11, 19, "12 14 16 18"),
        (6, 390, "10 20 50 100 200"),
        (30, 70, "30 40 50 60 70"),
        (0.11, 0.19, "0.12 0.14 0.16 0.18"),
    ],
)
def test_a_log_axis_has_three_ticks_at_least(low: float, high: float, shown: str) -> None:
    assert [text for _, text in log_ticks(low, high)] == shown.split()


def test_no_log_axis_of_data_is_left_without_a_scale() -> None:
    """Charts leave room on both sides of their data, so no range is narrower than this."""
    for number in range(400):
        low = 0.003 * 1.04**number
        for wider in (1.3, 1.5, 2.0, 5.0, 9.0, 59.0, 61.0, 5000.0):
            assert 3 <= len(log_ticks(low, wider * low)) <= 12, (low, wider)


def test_a_definition_is_no_secret_and_a_token_s_value_is() -> None:
    definition = "Time to first token: first_token - sent. Time per output token: (last_token - first_token)"
    assert escape.clean(definition) == definition
    for secret in (
        "token: abcdef123456",
        "X-Auth-Token: abcdefghij",
        "api-key: abcdefghij",
        "Cookie: a=bcdefghi",
    ):
        assert escape.clean(secret).endswith(": ***"), secret


def test_the_warning_of_a_saturated_run_is_short_in_the_line_and_said_once(runs: list[Run]) -> None:
    found = make_comparison(runs)
    warning = "optimized ran SATURATED, so latencies depend on how long the test ran"
    for metric in found.metrics:
        if metric.latency:
            metric.changes = [each.model_copy(update={"warning": warning}) for each in metric.changes]
    results = (
        render.readme("t", sections.sections(found, {})).split("## Appendix A")[1].split("## Appendix B")[0]
    )
    lines = [line for line in results.splitlines() if line.startswith("| TTFT p50 ")]
    assert lines and "⚠ optimized SATURATED" in lines[0] and warning not in lines[0]
    assert results.count(warning) == 1


def test_units_of_the_summary_and_the_rules_are_for_people(runs: list[Run]) -> None:
    assert formatting.slo({"ttft": 1.0, "tpot": 0.05, "share": 0.99}) == (
        "TTFT 1,000 ms, TPOT 50 ms, for 99 % of arrivals"
    )
    assert formatting.slo(None) == "none"
    found = make_comparison(runs)
    base = found.runs[0].rules[0]
    rules = [
        base.model_copy(update={"rule": "a", "figure": -0.00251, "bound": 0.001, "unit": "s"}),
        base.model_copy(update={"rule": "b", "figure": 66.8, "bound": 65, "unit": "s"}),
        base.model_copy(update={"rule": "c", "figure": 0.18, "bound": 0.01, "unit": "share"}),
    ]
    found.runs[0].rules = rules
    table = render.markdown_table(sections_evidence._rules(found.runs[0]))
    shown = [line.split("|")[3:5] for line in table.splitlines()]
    cells = [[cell.strip() for cell in line] for line in shown if len(line) == 2]
    for pair in (["−2.51 ms", "1 ms"], ["66.8 s", "65 s"], ["18 %", "1 %"]):
        assert pair in cells


def test_the_dots_of_many_variants_stay_in_their_row() -> None:
    offsets = [changes._offset(place, 8) for place in range(8)]
    assert max(offsets) == -min(offsets) < 0.4
    assert changes._offset(0, 1) == 0


def test_the_first_screen_is_the_decision_with_at_most_six_rows(runs: list[Run], report: Path) -> None:
    found = make_comparison(runs)
    head = (report / "README.md").read_text().splitlines()[:40]
    assert head[0] == f"# {found.decisions[0].title}"
    text = "\n".join(head)
    assert 1 <= sum(line.startswith("| ") for line in head) - 2 <= 6
    for part in ("**Confidence.**", "**Setup.**", "**Next.**", "make baseline optimized RPS=7", "![", "▲"):
        assert part in text or part == "▲"
    page = (report / "report.html").read_text()
    assert page.count('class="tile ') <= 6 and 'id="copy"' in page and 'class="help"' in page
    assert "<h1>Do not use plain</h1>" in page


@pytest.mark.parametrize("folder", ["", "gpu"])
def test_the_examples_are_short(folder: str) -> None:
    """Body at most 600 words, the whole at most 2,500 for a pair, and 500 for each further variant."""
    text = (ROOT / "docs" / "example" / folder / "README.md").read_text()
    body = text.split("## Appendix A")[0]
    assert len(body) < len(text), "it has appendices"
    most = 2500 + 500 * (text.count("): records of ") - 2)
    assert _words(body) <= 600 and _words(text) <= most, (_words(body), _words(text))


def _words(text: str) -> int:
    return len(re.findall(r"\w[\w.,−%/'-]*", text))

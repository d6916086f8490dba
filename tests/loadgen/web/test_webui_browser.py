"""Locust's web UI as a person sees it: a real browser, a real load against the metronome."""

import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pandas as pd
import pytest

from bench.process import metronome
from loadgen.live.histogram import LEAST
from tests.support.ports import refusing
from tests.support.waiting import PATIENCE, wait_until
from tests.support.webrun import CHROMIUM, Tab, WebRun, browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt install chromium)"),
]

MIX = """
rate: 30
duration: 6
warmup: 2
drain: 10
workloads:
  chat: {share: 0.6, prompt_tokens: 8, output_tokens: {distribution: uniform, min: 4, max: 30}}
  code: {share: 0.4, prompt_tokens: 16, output_tokens: 20}
"""
SHOWN = 0.007  # half a bucket (0.5 %), and the rounding to two decimals
WARMUP = 2.0  # s, of MIX
FIELDS = (
    *("rps", "duration", "warmup", "drain", "arrivals", "concurrency", "seed"),
    *("input_tokens", "output_tokens", "slo_ttft", "slo_tpot", "slo_share"),
)
SLO = {"slo_ttft": "1000", "slo_tpot": "50", "slo_share": "0.99"}  # a scenario's, where its file has none
COUNT = "Number(document.querySelector('table[data-workload=all] td:last-child')?.textContent ?? 0)"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def locust(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRun]:
    """Two workers; the tests of this module follow each other in it, as a person's runs in a session do."""
    with (
        metronome("--ttft", "0.06", "--tpot", "0.008", "--as-vllm") as server,
        WebRun(tmp_path_factory.mktemp("ui"), server.url, workers=2, scenario=MIX) as running,
    ):
        running.ready(2)
        yield running


def form_values(tab: Tab) -> dict[str, str]:
    return {name: tab.page.locator(f"form [name={in_form(name)}]").input_value() for name in FIELDS}


def in_form(option: str) -> str:
    """An option's name as Locust's form has it: 'slo_ttft' is 'sloTtft'."""
    return re.sub(r"_(.)", lambda found: found[1].upper(), option)


def start(tab: Tab, **values: str) -> None:
    """Fill in the start form and press the button."""
    for name, value in values.items():
        field = tab.page.locator(f"form [name={in_form(name)}]")
        if name in ("scenario", "arrivals"):
            field.select_option(value)
        else:
            field.fill(value)
    tab.page.get_by_role("button", name="Start", exact=True).click()


def posted(tab: Tab, url: str, **content: Any) -> Any:
    """The answer to a POST, as a script sends it that has the browser's cookies, and so the token."""
    tab.page.request.get(urljoin(url, "/worker-count"), max_redirects=0)
    return tab.page.request.post(url, timeout=1000 * PATIENCE, **content)


def table(tab: Tab, workload: str) -> dict[str, dict[str, float]]:
    """The percentiles that our page shows, ms."""
    rows = tab.page.eval_on_selector_all(
        f"table[data-workload='{workload}'] tbody tr",
        "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))",
    )
    names = ("p50", "p90", "p95", "p99", "count")
    return {
        row[0]: {name: float(text.replace(",", "")) for name, text in zip(names, row[1:], strict=True)}
        for row in rows
        if "–" not in row
    }


def judged(records: pd.DataFrame) -> pd.DataFrame:
    """Those that came due once the warm-up was over."""
    return records[records["due"] >= WARMUP]


def with_pace(records: pd.DataFrame) -> pd.DataFrame:
    """Those that have a TPOT: on a busy machine an answer may come in one piece."""
    return records[records["last_token"] > records["first_token"]]


def expected(records: pd.DataFrame) -> dict[str, np.ndarray]:
    """Each metric's values from the records, ms."""
    done = records[records["status"] == "completed"]
    paced = with_pace(done)
    found = {
        "TTFT (service)": records["first_token"] - records["sent"],
        "TTFT (scheduled)": records["first_token"] - records["due"],
        "TPOT": (paced["last_token"] - paced["first_token"]) / (paced["output_tokens"] - 1),
        "ITL": pd.Series(np.concatenate([np.diff(times) for times in records["chunk_times"]])),
        "Latency (service)": done["last_token"] - done["sent"],
        "Latency (scheduled)": done["last_token"] - done["due"],
    }
    return {name: values.dropna().to_numpy() * 1e3 for name, values in found.items()}


def assert_agree(tab: Tab, records: pd.DataFrame, workload: str) -> None:
    shown = table(tab, workload)
    for name, values in expected(records).items():
        assert shown[name]["count"] == len(values), name
        for level in (50, 90, 95, 99):
            exact = np.percentile(values, level, method="inverted_cdf")
            near = pytest.approx(exact, rel=SHOWN, abs=1e3 * LEAST)  # chunks may come together
            assert shown[name][f"p{level}"] == near, (workload, name, level)


def finished(locust: WebRun) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = locust.get("/llm/data")["finished"]
    return found


def locust_rows(locust: WebRun, count: int) -> dict[str, dict[str, Any]]:
    """Locust's own table, once it has the last of `count` requests (it keeps its answer for 2 s)."""
    rows: dict[str, dict[str, Any]] = {}

    def whole() -> bool:
        rows.update({row["name"]: row for row in locust.get("/stats/requests")["stats"]})
        return bool(rows["Aggregated"]["num_requests"] == count)

    wait_until(whole, lambda: f"{rows['Aggregated']['num_requests']} requests in Locust's table, not {count}")
    return rows


def test_the_form_follows_the_scenario(locust: WebRun, chromium: Any) -> None:
    tab = Tab(chromium)
    tab.page.goto(locust.url)
    tab.until("document.querySelector('form [name=rps]')?.value === '30'")
    labels = tab.page.locator("form label").all_text_contents()
    assert {"Requests per second", "SLO: TTFT at most, ms", "Scenario"} <= set(labels)
    own = {"rps": "30", "duration": "6", "warmup": "2", "drain": "10", "arrivals": "poisson", "seed": "1"}
    assert form_values(tab) == own | SLO | {"concurrency": "", "input_tokens": "", "output_tokens": ""}
    order = tab.page.eval_on_selector_all("form [name]", "(found) => found.map((each) => each.name)")
    shown = [name for name in order if name in ("scenario", *FIELDS)]
    assert shown[:3] == ["scenario", "rps", "duration"], "not by the alphabet"
    assert tab.page.locator("form [name=userCount]").is_hidden(), "the scenario says how many come"
    scenario = tab.page.locator("form [name=scenario]")
    assert scenario.input_value() == str(locust.folder.parent / "scenario.yaml")
    scenario.select_option("code-medium")
    code = {"rps": "15", "duration": "90", "warmup": "5", "drain": "60", "arrivals": "hawkes", "seed": "1"}
    code |= {"input_tokens": "1500,800,200-8000", "output_tokens": "400,300,50-2000"}
    assert form_values(tab) == code | SLO | {"concurrency": ""}
    scenario.select_option("closed-loop-chat")
    values = form_values(tab)
    assert values["rps"] == "" and values["arrivals"] == "closed-loop" and int(values["concurrency"]) > 0
    tab.close()


def test_a_start_that_cannot_be_is_explained(locust: WebRun, chromium: Any) -> None:
    tab, ours = Tab(chromium), Tab(chromium)
    tab.page.goto(locust.url)
    tab.until("document.querySelector('form [name=rps]')?.value === '30'")
    host = tab.page.locator("form [name=host]").input_value()
    alert = "[...document.querySelectorAll('form [role=alert]')].map((each) => each.textContent).join()"
    start(tab, rps="-3")
    tab.until(f"{alert}.includes('--rps: must be more than 0, is -3')")
    start(tab, rps="30", slo_ttft="0.5")
    tab.until(f"{alert}.includes('--slo-ttft: is in ms, must be 1 or more, is 0.5')")
    start(tab, slo_ttft="1000", input_tokens="30,9")
    tab.until(
        f"{alert}.includes('scenario scenario has workloads (chat, code), each with lengths of its own')"
    )
    with refusing() as dead:
        start(tab, input_tokens="", host=dead)
        tab.until(f"{alert}.includes('{dead}: does not answer')")
        ours.page.goto(f"{locust.url}/llm/")
        ours.until(f"document.getElementById('failure').textContent.includes('{dead}: does not answer')")
        tab.until(f"document.querySelector('#llm-bar span').textContent.includes('{dead}')")
        visible = [each.inner_text() for each in tab.page.get_by_role("alert").all() if each.is_visible()]
        assert len(visible) == 1 and visible[0].startswith(f"{dead}: does not answer"), (
            "said once, in the form"
        )
    unknown = posted(tab, f"{locust.url}/swarm", form={"scenario": "no-such", "host": host}).json()
    assert unknown["success"] is False and "unknown scenario 'no-such'" in unknown["message"]
    assert locust.get("/stats/requests")["state"] == "ready" and finished(locust) == []
    tab.close()
    ours.close()


def test_figures_agree_with_the_records(locust: WebRun, chromium: Any) -> None:
    tab, ours = Tab(chromium), Tab(chromium)
    tab.page.goto(locust.url)
    tab.until("document.querySelector('form [name=rps]')?.value === '30'")
    # Empty: the scenario's own.
    start(tab, seed="", arrivals="", label="night run, rack=3", note="the new driver")
    ours.page.goto(f"{locust.url}/llm/")
    ours.until("document.querySelectorAll('#runs tbody tr').length === 1")
    ours.until("document.querySelectorAll('.chart path[d]').length >= 10")
    row = ours.page.inner_text("#runs td[data-label=Run]")
    assert row.splitlines() == ["night run", "run", "rack: 3; the new driver"]
    records = pd.read_parquet(locust.folder / "requests.parquet")
    seen = judged(records)
    ours.until(f"document.querySelector('#tiles').textContent.includes('{len(records)} done')")
    assert ours.page.evaluate(COUNT) == len(seen) < len(records), "the warm-up is left out"
    assert_agree(ours, seen, "all")
    for workload, part in seen.groupby("workload"):
        assert_agree(ours, part, str(workload))
        whole = records[records["workload"] == workload]
        shown = ours.page.locator(f"div:has(> table[data-workload={workload}]) > p").text_content()
        assert shown.startswith(f"{len(whole)} sent, {len(whole)} completed, "), "rates are over with the run"
    summary = json.loads((locust.folder / "summary.json").read_text())
    for metric, label in (("ttft", "TTFT (service)"), ("tpot", "TPOT"), ("latency", "Latency (service)")):
        exact = summary["metrics"][f"{metric}_p50"]
        shown_ms = table(ours, "all")[label]
        assert shown_ms["count"] == exact["count"], metric
        assert shown_ms["p50"] == pytest.approx(exact["value"] * 1e3, rel=SHOWN), metric
    offered, completed, tokens = (
        np.array([second[name] for second in ours.page.evaluate("seconds")])
        for name in ("offered_rate", "completed_rate", "output_token_throughput")
    )
    assert len(records) / 20 < offered[-1] < len(records) / 7, "/s, over 8 s, or a little more by the end"
    mean = records["output_tokens"].mean()
    assert tokens.sum() / completed.sum() == pytest.approx(mean, rel=0.3), "tokens are counted, not events"
    assert "judge" not in ours.page.locator("#failure").text_content()
    assert ours.page.locator("#verdict").text_content() == summary["verdict"]
    tiles = ours.page.inner_text("#tiles")
    assert f"{100 * summary['metrics']['slo_attainment']['value']:.1f} %" in tiles and "TPOT p50" in tiles
    assert "SLO 50.00 ms" in ours.page.locator("#charts").text_content()
    rate = summary["metrics"]["completed_rate"]["value"]
    ours.until(f"document.getElementById('tiles').textContent.includes('Completed{rate:.1f} /s')")
    tab.until("document.body.innerText.includes('STOPPED')")
    rows = locust_rows(locust, len(records))
    assert rows["TTFT"]["num_requests"] == len(records)
    assert rows["TPOT"]["num_requests"] == len(with_pace(records))
    assert rows["Aggregated"]["total_rps"] == pytest.approx(
        rows["chat"]["total_rps"] + rows["code"]["total_rps"]
    )
    latencies = (records["end"] - records["sent"]) * 1e3
    exact = np.percentile(latencies, 95, method="inverted_cdf")
    shown = rows["Aggregated"]["response_time_percentile_0.95"]
    assert shown == pytest.approx(exact, rel=0.02)
    every = [row[f"response_time_percentile_{q}"] for row in rows.values() for q in ("0.95", "0.99")]
    assert any(each != round(each, -1) for each in every), "not rounded to two digits"
    tab.close()
    ours.close()


def test_the_report_opens(locust: WebRun, chromium: Any) -> None:
    tab = Tab(chromium)
    tab.page.goto(f"{locust.url}/llm/")
    tab.page.get_by_role("button", name="Report", exact=True).click()
    tab.page.wait_for_url("**/llm/files/reports/*/report.html")
    assert "Appendix A" in tab.page.inner_text("body")
    tab.page.go_back()
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Records").click()
    assert len(pd.read_parquet(download.value.path())) > 100
    tab.page.get_by_role("link", name="All files").click()
    tab.page.get_by_role("link", name="manifest.json").click()
    tab.page.wait_for_url("**/manifest.json")  # a click does not wait for the page that it opens
    assert json.loads(tab.page.inner_text("body"))["ended"] == "complete"
    tab.close()


def test_figures_move_stop_drains_and_keeps_the_run_and_two_are_compared(
    locust: WebRun, chromium: Any
) -> None:
    tab, ours = Tab(chromium), Tab(chromium)
    tab.page.goto(locust.url)
    tab.page.get_by_role("button", name="New").click()
    tab.until("document.querySelector('form [name=rps]')?.value === '30'")
    start(tab, duration="60", rps="20")
    tab.page.get_by_role("tab", name="LLM").click()
    tab.until("document.body.innerText.includes('Verdict so far')")
    ours.page.goto(f"{locust.url}/llm/")
    ours.until("document.getElementById('state').textContent === 'running' && seconds.length > 3")
    first = ours.until(f"{COUNT} > 20 && {COUNT}")
    assert ours.until(f"{COUNT} > {first} && {COUNT}") > first, "the numbers move"
    second = posted(ours, f"{locust.url}/swarm", form={"rps": "1"}).json()
    assert second["success"] is False and "a run is going on" in second["message"]
    assert ours.page.get_by_role("button", name="Stop and drain").is_visible()
    assert posted(ours, f"{locust.url}/llm/reports", data={"runs": ["run"]}).status == 409
    tab.page.get_by_role("button", name="Stop", exact=True).click()
    ours.until("document.querySelectorAll('#runs tbody tr').length === 2")
    tab.page.get_by_role("button", name="New").click()
    tab.until("document.querySelector('form [name=rps]')?.value === '20'")
    assert tab.page.locator("form [name=duration]").input_value() == "60", "the last settings are kept"
    assert tab.page.locator("form [name=label]").input_value() == "", "and a run's name is its own"
    newest = finished(locust)[0]
    folder = locust.folder.parent / newest["folder"]
    manifest = json.loads((folder / "manifest.json").read_text())
    records = pd.read_parquet(folder / "requests.parquet")
    assert manifest["ended"] == "interrupted" and manifest["ended_why"] == "stopped by hand"
    assert set(records["status"]) == {"completed"} and manifest["due"] == len(records) > 40
    assert not any(lane["lost"] for lane in manifest["lanes"]) and len(manifest["lanes"]) == 2
    for box in ours.page.locator("#runs input[type=checkbox]").all():
        box.check()
    ours.page.get_by_role("button", name="Compare the two chosen").click()
    ours.page.locator("#summary").wait_for()
    title = ours.page.inner_text("#summary h3")
    said = ours.page.inner_text("#summary")
    assert "Confidence." in said and "night run, rack: 3, the new driver" in said and "Next. " in said
    assert ours.page.locator("#summary dt").count() >= 4
    ours.page.get_by_role("link", name="The whole report").click()
    ours.page.wait_for_url("**/llm/files/reports/*-vs-*/report.html")
    assert ours.page.inner_text("h1") == title
    text = ours.page.inner_text("body")
    assert newest["run"] in text and "Appendix A" in text
    ours.close()
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it(locust: WebRun, chromium: Any, scheme: str) -> None:
    tab = Tab(chromium, width=400, scheme=scheme)
    tab.page.goto(f"{locust.url}/llm/")
    tab.until("document.querySelectorAll('.chart path[d]').length >= 10")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 400
    paper = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 22, 28)")
    wide = tab.page.eval_on_selector_all(
        ".chart svg, #tables table, #runs tr:not(:first-child), button:not([hidden])",
        "(found) => found.filter((each) => each.getBoundingClientRect().right > 400).length",
    )
    assert wide == 0
    for box in tab.page.locator("#runs input[type=checkbox]").all()[:2]:
        box.check()
    tab.page.get_by_role("button", name="Compare the two chosen").click()
    tab.page.locator("#summary").wait_for()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 400
    tab.page.goto(locust.url)
    tab.page.get_by_role("link", name="LLM: live charts").click()
    tab.until("location.pathname === '/llm/'")
    tab.close()


@pytest.mark.parametrize(
    "path",
    [
        "../scenario.yaml",
        "../../../../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/scenario.yaml",
        "run/%2e%2e/%2e%2e/",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "run/..%5c..%5c",
        "run/manifest.json%00.html",
    ],
)
def test_no_path_leads_out_of_results(locust: WebRun, path: str) -> None:
    """Byte by byte as it stands: a browser would tidy it up first."""
    connection = HTTPConnection(locust.url.removeprefix("http://"), timeout=PATIENCE)
    for whole, status in ((f"/llm/files/{path}", (404, 308)), ("/llm/files/run/manifest.json", (200,))):
        connection.request("GET", whole)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status in status, content[:200]
        assert b"root:" not in content and b"workloads" not in content[:100]
    connection.close()


def test_another_site_cannot_ask_for_reports(locust: WebRun, chromium: Any) -> None:
    tab, url = Tab(chromium), f"{locust.url}/llm/reports"
    assert posted(tab, url, data={"runs": ["run"]}, headers={"Origin": "http://evil.test"}).status == 403
    wrong = posted(tab, url, data={"runs": "run"}, headers={"Origin": locust.url})
    assert wrong.status == 400 and "give the names" in wrong.text()
    tab.close()


def test_a_stop_before_the_first_request_leaves_no_run(locust: WebRun, chromium: Any) -> None:
    before = finished(locust)
    tab = Tab(chromium)
    many = {"duration": "60", "rps": "300"}  # they take a moment to make
    assert posted(tab, f"{locust.url}/swarm", form=many).json()["success"]
    again = posted(tab, f"{locust.url}/swarm", form={"duration": "31"}).json()
    assert not again["success"] and "a run is going on" in again["message"], "it would start nothing"
    wait_until(lambda: locust.get("/llm/data")["state"] not in ("idle", "starting"), "never began")
    posted(tab, f"{locust.url}/stop")
    tab.page.goto(f"{locust.url}/llm/")
    tab.until("document.getElementById('failure').textContent.includes('nothing was measured')")
    assert tab.page.locator("#state").text_content() == "idle" and finished(locust) == before
    assert posted(tab, f"{locust.url}/swarm", form={"duration": "1", "rps": "30"}).json()["success"]
    tab.until(f"document.querySelectorAll('#runs tbody tr').length === {len(before) + 1}")
    assert tab.page.locator("#failure").is_hidden()
    tab.close()


LOGIN = """
import os
from flask import redirect, request
from flask_login import UserMixin, login_user
from locust import events
from locustfiles.chat import ChatUser

class Person(UserMixin):
    id = "person"

@events.init.add_listener
def on_init(environment, **kwargs):
    if environment.web_ui:
        environment.web_ui.app.config["SECRET_KEY"] = os.urandom(16)
        environment.web_ui.login_manager.user_loader(lambda name: Person())
        environment.web_ui.auth_args = {"username_password_callback": "/enter"}

        @environment.web_ui.app.route("/enter", methods=["POST"])
        def enter():
            login_user(Person())
            return redirect("/")
"""


def test_a_login_protects_all_of_it_and_one_process_is_enough(tmp_path: Path, chromium: Any) -> None:
    path = tmp_path / "locked.py"
    path.write_text(LOGIN)
    with (
        metronome("--ttft", "0.03", "--tpot", "0.004") as server,
        WebRun(
            tmp_path / "ui", server.url, "--web-login", workers=None, scenario=MIX, locustfile=str(path)
        ) as locust,
    ):
        locust.answers()
        tab = Tab(chromium)
        tab.page.goto(f"{locust.url}/llm/")
        tab.until("location.pathname === '/login'")
        for route in ("", "data", "scenarios", "page.js", "form.js", "files/run/", "seconds.csv"):
            answer = tab.page.request.get(f"{locust.url}/llm/{route}", max_redirects=0)
            assert answer.status == 302 and "/login" in answer.headers["location"], route
        for route in ("llm/reports", "swarm"):
            answer = posted(tab, f"{locust.url}/{route}", data={}, max_redirects=0)
            assert answer.status == 302 and "/login" in answer.headers["location"], route
        tab.page.evaluate("fetch('/enter', {method: 'POST'}).then((answer) => answer.status)")
        for route in ("llm/reports", "swarm", "stop", "enter"):
            foreign = posted(tab, f"{locust.url}/{route}", headers={"Origin": "http://evil.test"})
            assert foreign.status == 403, "a login does not help another site's page"
        tab.page.goto(locust.url)
        tab.until("document.querySelector('form [name=rps]')?.value === '30'")
        start(tab, duration="3", warmup="2")
        tab.page.goto(f"{locust.url}/llm/")
        tab.until("document.querySelectorAll('#runs tbody tr').length === 1")
        records = pd.read_parquet(locust.folder / "requests.parquet")
        tab.until(f"document.querySelector('#tiles').textContent.includes('{len(records)} done')")
        assert_agree(tab, judged(records), "all")
        tab.close()

"""Pages of other sites, in a real browser beside the web UI: they start nothing, read nothing, get no key."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.fakeserver import FakeServer
from tests.support.waiting import PATIENCE, wait_until
from tests.support.webrun import CHROMIUM, Tab, WebRun, browser, post

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt install chromium)"),
]

KEY = "sk-only-for-the-server-under-test"
SHORT = "rate: 10\nduration: 1\nwarmup: 0\ndrain: 5\nprompt_tokens: 4\noutput_tokens: 3\n"
ROUTES = [
    *("/", "/stats/requests", "/stats/report", "/stats/requests/csv", "/stats/failures/csv", "/exceptions"),
    *(
        "/exceptions/csv",
        "/tasks",
        "/logs",
        "/worker-count",
        "/login",
        "/metrics",
        "/assets/favicon-dark.png",
    ),
    *(
        "/llm/",
        "/llm/data",
        "/llm/scenarios",
        "/llm/page.js",
        "/llm/files/",
        "/llm/seconds.csv",
        "/favicon.ico",
    ),
    "/no-such-route",
]
CHANGES = ["/swarm", "/stop", "/stats/reset", "/user", "/llm/reports", "/no-such-route"]


class Elsewhere(BaseHTTPRequestHandler):
    """A site of somebody else's: one empty page, which the tests run their scripts in."""

    def do_GET(self) -> None:  # noqa: N802
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body></body>")

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """Its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser("--host-resolver-rules=MAP *.test 127.0.0.1") as opened:
        yield opened


@pytest.fixture(scope="module")
def named() -> Iterator[FakeServer]:
    """The server that the command line names."""
    with FakeServer() as server:
        yield server


@pytest.fixture(scope="module")
def other() -> Iterator[FakeServer]:
    """Another one, which only a form names."""
    with FakeServer() as server:
        yield server


@pytest.fixture(scope="module")
def locust(named: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRun]:
    with WebRun(
        tmp_path_factory.mktemp("ui"),
        named.url("normal"),
        *("--model", "fake"),
        workers=None,
        scenario=SHORT,
        environment={"OPENAI_API_KEY": KEY},
    ) as running:
        running.answers()
        yield running


@pytest.fixture(params=["http://evil.test:{}", "http://127.0.0.1:{}", "http://localhost:{}"])
def page(request: pytest.FixtureRequest, chromium: Any, elsewhere: int, locust: WebRun) -> Iterator[Any]:
    """A page of another site, or of another port of this machine; the browser has the UI's cookie."""
    context = chromium.new_context()
    context.set_default_timeout(1000 * PATIENCE)
    assert context.request.get(f"{locust.url}/worker-count", timeout=1000 * PATIENCE).ok
    assert context.cookies(locust.url)
    page = context.new_page()
    page.goto(request.param.format(elsewhere))
    yield page
    context.close()


def keys_of(server: FakeServer) -> set[str | None]:
    return {each.headers.get("authorization") for each in server.requests}


def idle(locust: WebRun) -> bool:
    found = locust.get("/llm/data")
    return not found["going_on"] and found["state"] == "idle"


@pytest.mark.parametrize("path", CHANGES)
def test_a_form_of_another_site_changes_nothing(
    page: Any, locust: WebRun, other: FakeServer, path: str
) -> None:
    fields = {"host": other.url("normal"), "user_count": "1", "spawn_rate": "1"}
    with page.expect_response(f"**{path}") as answer:
        page.evaluate(
            """([url, fields]) => {
                const form = Object.assign(document.createElement("form"), { method: "POST", action: url });
                for (const [name, value] of Object.entries(fields))
                    form.append(Object.assign(document.createElement("input"), { name, value }));
                document.body.append(form);
                form.submit();
            }""",
            [f"{locust.url}{path}", fields],
        )
    assert answer.value.status == 403
    assert idle(locust) and not other.requests and not locust.get("/llm/data")["finished"]


@pytest.mark.parametrize("mode", ["cors", "no-cors"])
@pytest.mark.parametrize("path", CHANGES)
def test_a_fetch_of_another_site_changes_nothing(
    page: Any, locust: WebRun, other: FakeServer, path: str, mode: str
) -> None:
    body = urlencode({"host": other.url("normal"), "user_count": "1", "spawn_rate": "1"})
    read = page.evaluate(
        """([url, body, mode]) => fetch(url, { method: "POST", mode, credentials: "include", body,
            headers: { "Content-Type": "application/x-www-form-urlencoded" } })
            .then((answer) => answer.type === "opaque" ? "" : answer.text()).catch(() => "")""",
        [f"{locust.url}{path}", body, mode],
    )
    assert read == "" and idle(locust) and not other.requests


def test_another_site_reads_nothing(page: Any, locust: WebRun) -> None:
    for path in ROUTES:
        read = page.evaluate(
            "(url) => fetch(url, { credentials: 'include' }).then((answer) => answer.text()).catch(() => '')",
            f"{locust.url}{path}",
        )
        assert read == "", path


def test_another_site_frames_and_embeds_nothing(page: Any, locust: WebRun) -> None:
    for path in ("/", "/llm/", "/stats/report"):
        with page.expect_response(f"{locust.url}{path}") as answer:
            page.evaluate(
                "(src) => document.body.append(Object.assign(document.createElement('iframe'), { src }))",
                f"{locust.url}{path}",
            )
        assert answer.value.status == 403, path
    loaded = page.evaluate(
        """(src) => new Promise((done) => document.body.append(Object.assign(document.createElement("img"),
            { src, onload: () => done(true), onerror: () => done(false) })))""",
        f"{locust.url}/assets/favicon-dark.png",
    )
    assert not loaded


def test_a_link_of_another_site_may_be_followed(page: Any, locust: WebRun) -> None:
    page.evaluate("(url) => location.assign(url)", f"{locust.url}/llm/")
    page.wait_for_url(f"{locust.url}/llm/")
    page.get_by_text("Runs of this session").wait_for()


@pytest.mark.parametrize("path", ROUTES)
def test_a_name_that_is_made_to_lead_here_is_refused(chromium: Any, locust: WebRun, path: str) -> None:
    port = locust.url.rpartition(":")[2]
    tab = chromium.new_page()
    tab.set_default_timeout(1000 * PATIENCE)
    answer = tab.goto(f"http://rebound.test:{port}{path}")
    assert answer.status == 403 and "--web-allowed-host" in answer.text()
    told = tab.evaluate("(path) => fetch(path, { method: 'POST' }).then((answer) => answer.status)", path)
    assert told == 403
    tab.close()


@pytest.mark.parametrize("path", ROUTES)
def test_no_route_offers_its_answers_to_others(locust: WebRun, path: str) -> None:
    for headers in ({}, {"Origin": "http://evil.test"}, {"Origin": locust.url}):
        asked = locust.head(path, headers)
        assert not [name for name in asked if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "field", ["html_file", "csv_prefix", "loglevel", "web_host", "ca_file", "insecure", "run", "json_file"]
)
def test_the_form_takes_its_own_fields_only(locust: WebRun, field: str) -> None:
    form = urlencode({"user_count": 1, "spawn_rate": 1, field: "any.txt"})
    status, content = post(locust.url, "/swarm", form.encode())
    told = json.loads(content)
    assert status == 200 and not told["success"] and f"no field '{field}'" in told["message"]
    assert idle(locust) and not list(locust.folder.parent.glob("any*"))


@pytest.mark.parametrize("name", ["/etc/hostname", "../secret.yaml", "no-such", "scenario.yaml"])
def test_the_form_takes_offered_scenarios_only(locust: WebRun, name: str) -> None:
    told = json.loads(post(locust.url, "/swarm", urlencode({"scenario": name}).encode())[1])
    assert not told["success"] and told["message"].startswith(f"unknown scenario {name!r}")


def test_a_class_s_attributes_are_not_to_be_set(locust: WebRun) -> None:
    assert post(locust.url, "/user", b'{"user_class_name": "ChatUser", "path": "/evil"}')[0] == 404


def test_a_form_too_large_is_refused(locust: WebRun) -> None:
    assert post(locust.url, "/swarm", b"rps=" + b"1" * 200_000)[0] == 413


def test_the_key_goes_to_the_host_of_the_command_line_only(
    chromium: Any, locust: WebRun, named: FakeServer, other: FakeServer
) -> None:
    tab, ours = Tab(chromium), Tab(chromium)
    tab.page.goto(locust.url)
    tab.until("document.querySelector('form [name=rps]')?.value === '10'")
    own = tab.page.locator("form [name=host]").input_value()
    tab.page.locator("form [name=host]").fill(other.url("normal"))
    tab.page.get_by_role("button", name="Start", exact=True).click()
    tab.until("document.querySelector('#llm-bar span').textContent.startsWith('without OPENAI_API_KEY')")
    ours.page.goto(f"{locust.url}/llm/")
    ours.until("document.querySelectorAll('#runs tbody tr').length === 1")
    assert "without OPENAI_API_KEY" in ours.page.locator("#about").inner_text()
    assert "without OPENAI_API_KEY" in locust.err and other.url("normal") in locust.err
    assert len(other.requests) > 5 and keys_of(other) == {None}
    form = {"host": f"{own}/v1", "rps": "10"}
    assert json.loads(post(locust.url, "/swarm", urlencode(form).encode())[1])["success"]
    ours.until("document.querySelectorAll('#runs tbody tr').length === 2")
    assert keys_of(named) == {f"Bearer {KEY}"}
    assert not re.search(KEY, locust.err)
    tab.close()
    ours.close()


def test_stop_needs_the_page_s_token(locust: WebRun) -> None:
    assert json.loads(post(locust.url, "/swarm", b"duration=60")[1])["success"]
    wait_until(lambda: locust.get("/llm/data")["state"] == "running", "never ran")
    assert post(locust.url, "/stop", Cookie="")[0] == 403
    assert post(locust.url, "/stop", Origin="http://evil.test")[0] == 403
    assert locust.get("/llm/data")["going_on"]
    assert post(locust.url, "/stop", Origin=locust.url)[0] == 200
    wait_until(lambda: idle(locust), "never ended")

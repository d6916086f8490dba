"""report.html in a real browser: Chromium, headless, wide and narrow, light and dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.pages.render import render
from tests.support.make_comparison import make_comparison
from tests.support.make_report import make_pair
from tests.support.waiting import PATIENCE
from tests.support.webrun import CHROMIUM, browser, until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt install chromium)"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("report")
    runs = make_pair(tmp_path_factory.mktemp("runs"))
    render(make_comparison(runs, "a long text that " + "x" * 200 + " <b>&"), runs, folder)
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


def opened_page(chromium: Any, address: str, width: int, scheme: str) -> tuple[Any, list[str], list[str]]:
    """(the page, its console errors, its requests beyond the file itself)."""
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(1000 * PATIENCE)
    errors: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    until(page, "[...document.querySelectorAll('.panel')].every((panel) => panel.querySelector('svg'))")
    return (
        page,
        errors,
        [url for url in requests if url != address and not url.startswith(("data:", "blob:"))],
    )


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_the_page_is_whole(chromium: Any, address: str, width: int, scheme: str) -> None:
    page, errors, requests = opened_page(chromium, address, width, scheme)
    assert errors == [] and requests == []
    drawn = page.evaluate(
        "[...document.querySelectorAll('.panel')].map((panel) => [panel.querySelectorAll('path').length,"
        " panel.getBoundingClientRect().width, panel.getBoundingClientRect().height])"
    )
    assert len(drawn) >= 8
    assert all(paths > 3 and wide > 200 and high > 100 for paths, wide, high in drawn)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 22, 28)")
    page.close()


def test_tables_can_be_sorted(chromium: Any, address: str) -> None:
    page, errors, _ = opened_page(chromium, address, 1280, "light")
    column = "#section-4 table:first-of-type tbody tr td:nth-child(3)"
    page.locator("#section-4 table").first.locator("th button", has_text="baseline").click()
    shown = page.eval_on_selector_all(column, "(cells) => cells.map((cell) => Number(cell.dataset.sort))")
    first_table = shown[: page.locator("#section-4 table").first.locator("tbody tr").count()]
    assert first_table == sorted(first_table) and len(first_table) > 5
    assert errors == []
    page.close()


def test_colours_follow_the_reader(chromium: Any, address: str) -> None:
    page, _, _ = opened_page(chromium, address, 1280, "light")
    page.emulate_media(color_scheme="dark")
    until(page, "getComputedStyle(document.querySelector('.panel text')).fill === 'rgb(232, 234, 237)'")
    page.close()

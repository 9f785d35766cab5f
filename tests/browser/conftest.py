"""One browser for all tests of the page, and a fresh window a test that fails on any error or request."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.report.site import write_site
from tests.report.hand_site import board_file, lead_sets_file, nasty_file, write_suite

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_INSTALL = [sys.executable, "-m", "playwright", "install", "chromium"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium, or Playwright's own, which is fetched where there is neither."""
    api = pytest.importorskip("playwright.sync_api", reason="the page's tests need: pip install playwright")
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    with api.sync_playwright() as playwright:
        if not found and not Path(playwright.chromium.executable_path).is_file():
            _install()
        try:
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"no browser starts here: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


def _install() -> None:
    try:
        done = subprocess.run(_INSTALL, capture_output=True, text=True, timeout=150, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("there is no Chromium here, and fetching one took too long")
    if done.returncode:
        pytest.skip(f"there is no Chromium here, and none could be fetched: {done.stderr.strip()[-200:]}")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a few small suites: real, simulated, on several lead sets, hostile."""
    results = tmp_path_factory.mktemp("site")
    write_suite(results, board_file(6))
    write_suite(results, board_file(4, ("ptbxl",), simulated=False))
    write_suite(results, lead_sets_file())
    write_suite(results, nasty_file())
    empty = board_file(2, name="groups") | {"rows": [], "settings": [], "overall": [], "fits": {}}
    write_suite(results, empty)
    page = write_site(results)
    assert page
    return page


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 500 strategies on 10 corpora."""
    results = tmp_path_factory.mktemp("large")
    corpora = [f"corpus{place}" for place in range(10)]
    write_suite(results, board_file(500, corpora, fractions=(0.1, 1.0), seeds=1))
    page = write_site(results)
    assert page
    return page


Opener = Callable[..., Any]


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    """Opens a page in a fresh window; afterwards nothing may have been fetched, and nothing have gone wrong."""
    contexts, wrong = [], []

    def open_page(page: Path, address: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        window = context.new_page()
        window.set_default_timeout(20_000)
        window.on("console", lambda message: wrong.append(message.text))
        window.on("pageerror", lambda error: wrong.append(str(error)))
        window.on("dialog", lambda dialog: wrong.append(dialog.message))
        asked: list[str] = []
        window.on("request", lambda request: asked.append(request.url))
        window.goto(page.as_uri() + address)
        window.wait_for_selector("html[data-whole]")
        fetched = [url for url in asked if not url.startswith(("data:", page.as_uri()))]
        assert not fetched
        return window

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong

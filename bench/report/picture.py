"""A picture of the page, for a README: taken with a browser that is there. Needs the extra `dev` (playwright)."""

import shutil
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

WIDTH, HEIGHT = 1280, 1500  # pixels


class NoBrowser(RuntimeError):
    """There is nothing to take a picture with; the message says what to install."""


def take_picture(page: Path, target: Path) -> None:
    """The top of a page as a PNG file.

    Raises:
        NoBrowser: neither playwright nor a Chromium is installed.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise NoBrowser("a picture needs playwright: make setup") from error
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise NoBrowser(f"a picture needs a browser: none of {', '.join(BROWSERS)} is on the path")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        try:
            tab = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            tab.goto(page.resolve().as_uri())
            tab.wait_for_selector("table tbody tr")
            tab.screenshot(path=str(target))
        finally:
            chromium.close()

"""Chromium for the tests of this folder, and the pictures of the manual.

The browser is Debian's, started once; each window is a profile of its own. HEADRACE_SHOTS=1 writes docs/images/.
"""

import os

import pytest
from playwright.sync_api import expect, sync_playwright
from support.headrace import PATIENCE, ROOT, wait_until

expect.set_options(timeout=PATIENCE * 1000)
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def window(chromium):
    """Opens windows: `page = window(width=390, height=844)`. A script error or a warning of the browser's, such as one
    of the content policy, fails the test."""
    contexts, complaints = [], []

    def listen(message):
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def open_window(width=1180, height=760, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", listen)
        return page

    open_window.complaints = complaints
    yield open_window
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def shot():
    """Saves a picture of a page for the manual, when pictures are wanted."""

    def save(page, name, when=lambda: True):
        if os.environ.get("HEADRACE_SHOTS") == "1":
            wait_until(when, f"something to picture for {name}.png", patience=60)
            (ROOT / "docs" / "images").mkdir(exist_ok=True)
            page.screenshot(path=ROOT / "docs" / "images" / f"{name}.png", animations="disabled")

    return save

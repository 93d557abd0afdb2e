"""A browser for tests of pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright


@contextmanager
def started_browser() -> Iterator[Browser]:
    """Start Chromium; without it, skip the test, except in CI."""
    found = shutil.which("chromium")
    if found is None:
        why = "no browser: chromium not found (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            # CI must not skip this test.
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()

"""A browser for the pages of the book."""

import pytest
from browsing import FLAGS, chromium, opened
from playwright.sync_api import sync_playwright


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reader(browser):
    """One page for all visits: a process of its own for each would cost as much as the visit."""
    return opened(browser)


@pytest.fixture
def page(browser):
    page = opened(browser)
    yield page
    page.context.close()

"""Chromium for tests of the console, and axe's check of what it shows.

Playwright's synchronous interface keeps an event loop in its thread as long as it is started, and no other loop runs in
that thread. So it is started for the tests of one module, and ended before other tests run loops of their own.
"""

import os
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize, sync_playwright

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_OPTIONS = [
    *("--no-sandbox", "--disable-dev-shm-usage"),  # which root of a container does not have
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
VIEWPORT = ViewportSize(width=1280, height=800)
LOCAL_SCHEMES = {"about", "blob", "data"}
MAX_WAIT_MILLISECONDS = 20_000


def find_chromium() -> str:
    """Return the path of chromium. Without one skip the test, or fail it if the environment requires one."""
    for name in CHROMIUM_NAMES:
        if path := shutil.which(name):
            return path
    reason = "chromium is not installed: apt-get install chromium fonts-wqy-microhei"
    if os.environ.get("AUDIENCE_REQUIRE_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for the tests of a module."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


class PageProblems:
    """What a page complains of, and what it asks of other hosts than its own."""

    def __init__(self, page: Page) -> None:
        self.problems: list[str] = []
        self.expected: tuple[str, ...] = ()
        self._page = page
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", self._note_message)
        page.on("request", self._note_request)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text} at {message.location.get('url')}")

    def _note_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in LOCAL_SCHEMES and url.hostname != "127.0.0.1":
            self.problems.append(f"request to another host: {request.url}")

    def forget(self) -> None:
        """Forget all problems, and which of them were expected."""
        self.problems, self.expected = [], ()

    def unexpected(self) -> list[str]:
        """Return the problems of which no part is among `expected`."""
        return [problem for problem in self.problems if not any(part in problem for part in self.expected)]


@pytest.fixture
def page_problems(page) -> PageProblems:
    """Problems of `page`: a test that provokes some names them in `expected`."""
    return page.audience_problems


@pytest.fixture(scope="module")
def shared_page(browser) -> Iterator[Page]:
    """A page for the tests of a module, one after the other: a new one is a process that takes a second to start."""
    context = browser.new_context(
        viewport=VIEWPORT, locale="en-US", timezone_id="Asia/Shanghai", color_scheme="light", reduced_motion="reduce"
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(MAX_WAIT_MILLISECONDS)
    page = context.new_page()
    page.audience_problems = PageProblems(page)
    yield page
    context.close()


@pytest.fixture
def page(shared_page) -> Iterator[Page]:
    """A page without cookies: English, 1280 by 800. An error on it, or a request to another host, fails the test."""
    yield shared_page
    problems = shared_page.audience_problems.unexpected()
    make_new(shared_page, shared_page.audience_problems)
    assert not problems, "\n".join(problems)


def make_new(page: Page, problems: PageProblems) -> None:
    """Make *page* what it was when it was opened: it has stored nothing, and knows nothing of a test."""
    page.context.set_offline(False)
    page.unroute_all()
    if page.url.startswith("http"):
        page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    page.context.clear_cookies()
    page.goto("about:blank")
    page.set_viewport_size(VIEWPORT)
    page.emulate_media(color_scheme="light")
    page.mouse.move(0, 0)
    problems.forget()


def find_axe_violations(page: Page) -> list[str]:
    """Return what axe finds wrong with the page as it is: the rule, and the elements."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {violation['help']}: {node['html']} {node['failureSummary']}"
        for violation in violations
        for node in violation["nodes"]
    ]

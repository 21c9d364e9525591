"""The console as its users meet it: what they type and click, and what they read."""

from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from browsers import MAX_WAIT_MILLISECONDS
from playwright.sync_api import Locator, Page, expect

expect.set_options(timeout=MAX_WAIT_MILLISECONDS)


@dataclass(frozen=True)
class ConsolePage:
    """The console in a page of the browser."""

    page: Page
    url: str

    def open(self, index: str = "devices", view: str = "funnel", **query: str) -> "ConsolePage":
        """Open a link, and wait until its audience is counted."""
        self.visit(index, view, **query)
        self.wait_for_count(query.get("expr", "everyone"))
        return self

    def visit(self, index: str = "devices", view: str = "funnel", **query: str) -> None:
        """Open a link as if for the first time."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/#/{quote(index)}/{view}?{urlencode(query)}")

    @property
    def editor(self) -> Locator:
        return self.page.get_by_role("textbox", name="Expression")

    @property
    def count(self) -> Locator:
        return self.page.get_by_test_id("count")

    def type(self, text: str) -> None:
        """Type *text* at the end of the expression, key by key, and close the completion that it opened."""
        self.editor.press("Control+End")
        self.page.keyboard.type(text)

    def replace(self, text: str) -> None:
        """Put *text* in place of the expression, as by pasting it."""
        self.editor.press("Control+a")
        self.page.keyboard.insert_text(text)

    def wait_for_count(self, expr: str) -> int:
        """Wait until the count is that of *expr*. The count."""
        expect(self.count).to_have_attribute("data-expr", expr)
        expect(self.page.locator(".count.is-stale")).to_have_count(0)
        return int(self.count.inner_text().replace(",", ""))

    def shown_expr(self) -> str:
        """Expression in the editor."""
        return "\n".join(self.editor.locator(".cm-line").all_inner_texts()).replace("\u200b", "")

    def linked(self) -> dict[str, str]:
        """What the link holds, once the address bar has followed."""
        self.page.wait_for_timeout(400)
        parts = urlsplit(urlsplit(self.page.url).fragment)
        return {"path": parts.path, **{name: values[0] for name, values in parse_qs(parts.query).items()}}

    def value(self, name: str) -> Locator:
        """The button of a value, the first one of its name."""
        return self.page.locator(".value", has=self.page.locator(f'bdi:text-is("{name}")')).first.locator(".value-main")

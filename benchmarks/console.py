"""Measure the console in chromium: from a key to its count, the first view, and the size of the page.

Expressions are typed key by key into the console of a process of `audience serve`. A time runs from the moment at
which the browser received the key to the change of the number on the page. Keys that leave an invalid expression have
no count and no time. The first view is that of a browser without a cache, from the request of the page to the first
count. The other answers of the page, such as the funnel and the values of the side panel, are under way as well.

    python -m benchmarks.console [--devices N] [--runs N] [--folder DIR] [--json FILE]
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.emit import prepare_index
from benchmarks.report import describe_environment, format_bytes, format_table, make_parser, open_folder, save_json

EXPRS = (
    "age < 30 AND language:zh",
    "male AND province:guangdong AND age between 20 and 35",
    "(province:guangdong OR province:hunan) AND active within 3 days of 2020-04-08 AND NOT version:1.0.2",
    "t000 AND (t040 OR t041) AND NOT t080",
)
KEY_DELAY_MS = 120  # between two keys: five hundred keys a minute
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage"]
MAX_START_SECONDS = 60

# Note when each key arrives, and when the page shows a count of another expression.
OBSERVE_COUNTS = """() => {
    const count = document.querySelector("[data-testid=count]");
    window.measured = [];
    let key = null;
    addEventListener("keydown", (event) => (key = event.timeStamp), { capture: true });
    new MutationObserver(() => {
        if (key !== null) window.measured.push(performance.now() - key);
        key = null;
    }).observe(count, { attributes: true, attributeFilter: ["data-expr"] });
}"""
IS_COUNTED = "() => document.querySelector('[data-testid=count]')?.dataset.expr !== undefined"
NOTE_FIRST_COUNT = """
new MutationObserver((_, observer) => {
    if (document.querySelector("[data-testid=count]")?.dataset.expr === undefined) return;
    window.firstCount = performance.now();
    observer.disconnect();
}).observe(document, { subtree: true, childList: true, attributes: true });
"""
TRANSFERRED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter((entry) => !new URL(entry.name).pathname.startsWith("/v1/"))
    .reduce((size, entry) => size + entry.encodedBodySize, 0)"""


@dataclass(frozen=True, slots=True)
class ConsoleMeasurement:
    """Milliseconds from keys to their counts, and from requests of the page to the first count; bytes of the page."""

    key_ms: list[float]
    first_view_ms: list[float]
    page_bytes: int


@contextmanager
def serve_index(index: Path) -> Iterator[str]:
    """Yield the address of a process that serves *index*."""
    with TemporaryDirectory(prefix="audience-benchmark-") as scratch:
        ready = Path(scratch) / "ready"
        command = [sys.executable, "-m", "audience", "serve", f"{index}", "--port", "0", "--ready-file", f"{ready}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + MAX_START_SECONDS
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("audience serve has not started")
                time.sleep(0.05)
            yield ready.read_text().strip()
        finally:
            process.terminate()
            process.wait()


def measure_console(address: str, runs: int) -> ConsoleMeasurement:
    """Open the console *runs* times without a cache, and type all expressions each time."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    key_ms, first_view_ms, page_bytes = list[float](), list[float](), 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        for _ in range(runs):
            page = open_page(browser, address)
            first_view_ms.append(page.evaluate("window.firstCount"))
            page_bytes = page.evaluate(TRANSFERRED)
            key_ms += type_expressions(page)
            page.context.close()
        browser.close()
    return ConsoleMeasurement(key_ms, first_view_ms, page_bytes)


def open_page(browser: Browser, address: str) -> Page:
    """Return the console in a context of its own, once it shows a count."""
    page = browser.new_context(locale="en-US").new_page()
    page.add_init_script(NOTE_FIRST_COUNT)
    page.goto(address)
    page.wait_for_function(IS_COUNTED)
    return page


def type_expressions(page: Page) -> list[float]:
    """Type each of EXPRS in place of the one before; return the milliseconds from keys to their counts."""
    page.evaluate(OBSERVE_COUNTS)
    for expr in EXPRS:
        page.keyboard.press("Control+a")
        page.keyboard.type(expr, delay=KEY_DELAY_MS)
        page.wait_for_timeout(500)
    measured: list[float] = page.evaluate("window.measured")
    return measured


def percentile(values: list[float], share: float) -> float:
    """Return the smallest of *values* that at least *share* of them do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * round(share * 100) // 100) - 1)]


def format_report(answer: ConsoleMeasurement) -> str:
    """Return *answer* as Markdown."""
    rows = [
        ("key to count, ms", *format_times(answer.key_ms)),
        ("first view, ms", *format_times(answer.first_view_ms)),
        ("page, compressed", format_bytes(answer.page_bytes), "", "", ""),
    ]
    return format_table(("", "median", "95 % within", "longest", "measured"), rows)


def format_times(milliseconds: list[float]) -> tuple[str, str, str, str]:
    """Return the median, the 95th percentile, the largest and the number of *milliseconds*."""
    median, most = percentile(milliseconds, 0.5), percentile(milliseconds, 0.95)
    return f"{median:.1f}", f"{most:.1f}", f"{max(milliseconds):.1f}", f"{len(milliseconds)}"


def run_benchmark(folder: Path, devices: int, runs: int) -> dict[str, Any]:
    """Measure everything. Return the results, ready for JSON."""
    index = prepare_index(folder, devices)
    with serve_index(index) as address:
        answer = measure_console(address, runs)
    return {**describe_environment(), "devices": devices, "answer": asdict(answer)}


def main() -> None:
    options = make_parser(__doc__, "devices", "runs", "folder", "json").parse_args()
    with open_folder(options.folder) as folder:
        measured = run_benchmark(folder, int(options.devices), options.runs)
    save_json(measured, options.json)
    print(format_report(ConsoleMeasurement(**measured["answer"])))


if __name__ == "__main__":
    main()

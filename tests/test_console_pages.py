"""Vendors, segments and runs in the console, in chromium: each test is something that a user does."""

import json
import os
import re
from pathlib import Path

import pytest
from browsers import find_axe_violations
from console_page import ConsolePage
from playwright.sync_api import Locator, Page, expect
from served import Service, run_service
from sizes import IS_FULL_SIZE

from audience import DeviceIndex, plan, render
from audience.planning.catalog.check import load_catalog
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.server.keys import add_key
from audience.testing.devices import generate_devices

DEVICES = 3_000
EXPR = "male AND NOT province:hunan"
PICTURES_FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
CATALOG = """\
[province]
builtin = ["tpns"]
names.engagelab = "{type}_{value}"

[tag]
at = ["tpns", "engagelab"]
"""
CREDENTIALS = f"""\
[engagelab]
app_key = "{KEY}"
master_secret = "{SECRET}"
"""
REFUSED = ("status of 400", "status of 404", "status of 409", "status of 412")  # which chromium reports as errors
OVERTYPED = "Applying inline style"  # chromium keeps the colour of text that one types over, where a page lets it
SCOPES = {"ana": "count,ids,write,send", "ben": "count,write", "eve": "count"}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(Population(generate_devices(DEVICES))) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def service(tmp_path_factory, sandbox):
    folder = tmp_path_factory.mktemp("pages")
    index = DeviceIndex.build(generate_devices(DEVICES), folder / "devices.index")
    index.save_segment("men", "male", "cli")
    index.save_segment("young men", "@men AND age < 30", "cli")
    (folder / "catalog.toml").write_text(CATALOG)
    (folder / "credentials.toml").write_text(CREDENTIALS)
    (folder / "credentials.toml").chmod(0o600)
    (folder / "runs").mkdir()
    tokens = {name: add_key(folder / "keys.json", name, [scopes]) for name, scopes in SCOPES.items()}
    files = ["--catalog", "catalog.toml", "--runs", "runs", "--keys", "keys.json", "--credentials", "credentials.toml"]
    with run_service(folder, "devices.index", *files, "--vendor-host", sandbox.url, tokens=tokens) as service:
        yield service


@pytest.fixture
def index(service) -> DeviceIndex:
    return DeviceIndex.open(service.folder / "devices.index")


@pytest.fixture
def console(page, page_problems, service) -> ConsolePage:
    page_problems.expected = (*REFUSED, OVERTYPED)
    return sign_in(page, service, "ana")


def sign_in(page: Page, service: Service, name: str) -> ConsolePage:
    """The console, with the key of *name* as if it was entered in this tab."""
    token = service.tokens[name]
    page.goto(f"{service.url}/healthz")
    page.evaluate("token => sessionStorage.setItem('audience.key', token)", token)
    return ConsolePage(page, service.url)


def save_picture(page: Page, name: str) -> None:
    """Take a picture for the docs where that is asked for, as `tests/test_console_pictures.py` does."""
    if os.environ.get("UPDATE_SCREENSHOTS"):
        page.screenshot(path=PICTURES_FOLDER / f"{name}.png")


def segment_row(console: ConsolePage, name: str) -> Locator:
    return console.page.get_by_test_id(f"segment-{name}")


def button(scope: Page | Locator, name: str) -> Locator:
    return scope.get_by_role("button", name=name, exact=True)


def read_count(row: Locator) -> int:
    return int(row.locator("td.number").first.inner_text().replace(",", ""))


# Vendors


def test_every_vendor_has_the_plan_of_the_library(console, index, service):
    console.open(view="vendors", expr=EXPR)
    rows = console.page.locator(".vendor-table tbody tr")
    expect(rows.first).to_be_visible()
    catalog = load_catalog(service.folder / "catalog.toml")
    for row in rows.all():
        vendor = row.locator("th").inner_text().strip()
        wanted = plan(EXPR, vendor, index, catalog=catalog)
        outcome = f"native in {len(wanted.native)} request" if wanted.native else "by ids"
        expect(row.locator(".outcome")).to_contain_text(outcome)
        if wanted.reasons:
            expect(row).to_contain_text(wanted.reasons[0].code)
    assert rows.count() > 8


def test_payload_is_shown_copied_and_compared(console, index, service):
    console.open(view="vendors", expr=EXPR, vendor="tpns")
    wanted = plan(EXPR, "tpns", index, catalog=load_catalog(service.folder / "catalog.toml"))
    payload = console.page.get_by_test_id("payload")
    assert json.loads(payload.inner_text()) == wanted.native[0]
    button(console.page, "Copy as JSON").click()
    expect(console.page.get_by_role("status").filter(has_text="copied")).to_have_count(1)
    assert json.loads(console.page.evaluate("navigator.clipboard.readText()")) == wanted.native[0]
    button(console.page, "Copy as curl").click()
    expect(console.page.locator("button", has_text="Copy as curl").get_by_role("status")).to_have_text(" copied")
    command = console.page.evaluate("navigator.clipboard.readText()")
    assert EXPR in command and "/v1/indexes/devices/plan" in command and service.tokens["ana"] not in command
    console.page.get_by_label("Beside").select_option("engagelab")
    expect(console.page.locator(".payload-pair pre")).to_have_count(2)
    assert console.page.locator(".payload mark").count() > 0
    assert console.linked()["with"] == "engagelab"
    save_picture(console.page, "console-vendors")


def test_plan_has_its_methods_calls_and_reasons(console):
    console.open(view="vendors", expr=EXPR, vendor="emas")
    opened = console.page.get_by_test_id("vendor-plan")
    expect(opened).to_contain_text("not-at-vendor")
    expect(opened.locator(".costs tbody tr").first).to_be_visible()
    expect(opened.locator(".costs .is-chosen")).to_have_count(1)


# Segments


def test_segment_is_saved_changed_and_saved_again(console, service):
    console.open(view="segments", expr="age < 20")
    button(console.page, "Save the expression as a segment").click()
    dialog = console.page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("teens")
    button(dialog, "Save").click()
    expect(dialog).to_have_count(0)
    expect(segment_row(console, "teens")).to_be_visible()
    state = console.page.get_by_test_id("segment-state")
    expect(state).to_contain_text("saved")
    console.replace("age < 21")
    expect(state).to_contain_text("changed, not saved")
    button(state, "Revert").click()
    console.wait_for_count("age < 20")
    console.replace("age < 21")
    button(state, "Save").click()
    expect(state.get_by_role("status")).to_have_text("saved")
    index = DeviceIndex.open(service.folder / "devices.index")
    assert render(index.segments["teens"]) == "age < 21"
    assert [(change.by, change.action) for change in index.segment_history("teens")] == [("ana", "saved")] * 2
    segment_row(console, "teens").get_by_role("button", name=re.compile("ana")).click()
    expect(console.page.locator(".history tbody tr")).to_have_count(2)


def test_two_segments_are_compared(console, index):
    console.open(view="segments", expr="everyone")
    for name in ("men", "young men"):
        console.page.get_by_label(f"Compare {name}", exact=True).check()
    parts = console.page.get_by_test_id("comparison").locator(".parts tbody tr")
    expect(parts).to_have_count(3)
    wanted = ['@men AND NOT @"young men"', '@men AND @"young men"', '@"young men" AND NOT @men']
    assert [read_count(part) for part in parts.all()] == [index.count(expr) for expr in wanted]
    assert (console.linked()["one"], console.linked()["two"]) == ("men", "young men")
    save_picture(console.page, "console-segments")
    parts.first.get_by_role("button").click()
    console.wait_for_count(wanted[0])


def test_segment_that_is_used_is_not_deleted_and_is_renamed_with_its_users(console, service):
    index = DeviceIndex.open(service.folder / "devices.index")
    index.save_segment("base", "vip_gold")
    index.save_segment("above", "@base AND age > 40")
    console.open(view="segments", expr="everyone")
    button(segment_row(console, "base"), "Delete base").click()
    dialog = console.page.get_by_role("dialog")
    expect(dialog).to_contain_text("@above")
    expect(button(dialog, "Delete")).to_be_disabled()
    console.page.keyboard.press("Escape")
    button(segment_row(console, "base"), "Rename base").click()
    expect(dialog).to_contain_text("@above")
    dialog.get_by_label("Name").fill("golden ones")
    button(dialog, "Rename").click()
    expect(segment_row(console, "golden ones")).to_be_visible()
    expect(segment_row(console, "base")).to_have_count(0)
    index.refresh()
    assert render(index.segments["above"]) == '@"golden ones" AND age > 40'
    button(segment_row(console, "above"), "Delete above").click()
    button(dialog, "Delete").click()
    expect(segment_row(console, "above")).to_have_count(0)


def test_segment_that_somebody_else_changed_is_not_overwritten(console, page_problems, service):
    page_problems.expected = (*page_problems.expected, "ERR_FAILED")
    index = DeviceIndex.open(service.folder / "devices.index")
    index.save_segment("shared", "age < 50")
    console.open(view="funnel", expr="age < 50", segment="shared")
    state = console.page.get_by_test_id("segment-state")
    expect(state).to_be_visible()
    console.page.route("**/segments", lambda route: route.abort())  # the page does not hear of it
    console.page.route("**/v1/indexes", lambda route: route.abort())
    index.save_segment("shared", "age < 60")
    console.replace("age < 55")
    button(state, "Save").click()
    expect(state).to_contain_text("changed-segment")
    assert render(DeviceIndex.open(service.folder / "devices.index").segments["shared"]) == "age < 60"


def test_key_that_may_only_count_sees_and_changes_nothing(page, page_problems, service):
    console = sign_in(page, service, "eve")
    console.open(view="segments", expr="male", segment="men")
    expect(segment_row(console, "men")).to_be_visible()
    for name in ("Save the expression as a segment", "Rename men", "Delete men"):
        expect(button(page, name)).to_have_count(0)
    console.open(view="vendors", expr=EXPR, vendor="engagelab")
    expect(button(page, "Copy as JSON")).to_be_visible()
    expect(button(page, "Send…")).to_have_count(0)
    console.open(view="runs", send="engagelab")
    expect(page.locator(".notice")).to_contain_text("not begin any")


# Runs


def write_run(console: ConsolePage, expr: str, name: str) -> Locator:
    """Walk the steps from a vendor to a dry run. The page of the run."""
    console.open(view="vendors", expr=expr, vendor="engagelab")
    button(console.page, "Send…").click()
    console.page.get_by_label("Title").fill("Spring sale")
    console.page.get_by_label("Text", exact=True).fill("From today 春季特卖")
    console.page.get_by_label("Name of the run").fill(name)
    button(console.page, "Write the requests and try").click()
    run = console.page.get_by_test_id("run")
    expect(run.get_by_test_id("dry-run")).to_be_visible()
    return run


def type_number(run: Locator, text: str) -> None:
    field = run.get_by_label(re.compile("Type the number"))
    field.fill("")
    field.press_sequentially(text)


def test_run_is_sent_only_after_its_number_is_typed(console, index, sandbox):
    expr = "age < 25 AND brand:vivo"
    devices = index.count(expr)
    sandbox.reset()
    run = write_run(console, expr, "spring")
    expect(run.get_by_role("article", name="android")).to_contain_text("Spring sale")
    expect(run.locator(".facts")).to_contain_text(str(devices))
    save_picture(console.page, "console-dry-run")
    send = button(run, f"Send to {devices:,} devices")
    expect(send).to_be_disabled()
    type_number(run, str(devices + 1))
    expect(send).to_be_disabled()
    assert sandbox.summary("engagelab")["delivered"] == 0
    type_number(run, str(devices))
    send.click()
    expect(run.locator(".run-state")).to_have_text("done", timeout=60_000)
    expect(run.get_by_test_id("run-accepted")).to_have_text(str(devices))
    assert (sandbox.summary("engagelab")["delivered"], sandbox.summary("engagelab")["twice"]) == (devices, 0)
    button(run, "← All runs").click()
    expect(console.page.locator(".run-table tbody tr", has_text="spring")).to_contain_text("done")


def test_rejected_batches_have_their_code_and_what_to_do(console, index, sandbox):
    sandbox.set_faults("refuse=21011@engagelab")
    try:
        expr = "age < 22"
        run = write_run(console, expr, "rejected")
        type_number(run, f"{index.count(expr):,}")
        run.get_by_role("button", name=re.compile("^Send to")).click()
        expect(run.locator(".failures tbody tr")).to_have_count(1, timeout=60_000)
        expect(run.get_by_test_id("run-rejected")).to_have_text(str(index.count(expr)))
        expect(run.locator(".failures")).to_contain_text("21011")
        save_picture(console.page, "console-run")
    finally:
        sandbox.set_faults()


def test_run_is_cancelled(console, index, sandbox):
    sandbox.set_faults("fast@engagelab")
    try:
        expr = "age between 30 and 40"
        run = write_run(console, expr, "cancelled")
        type_number(run, str(index.count(expr)))
        run.get_by_role("button", name=re.compile("^Send to")).click()
        expect(run.locator(".run-state")).to_have_text("sending", timeout=60_000)
        button(run, "Cancel the run").click()
        button(console.page.get_by_role("dialog"), "Cancel the run").click()
        expect(run.locator(".run-state")).to_have_text("cancelled", timeout=60_000)
        expect(button(run, "Cancel the run")).to_have_count(0)
    finally:
        sandbox.set_faults()


def test_key_that_may_not_send_is_shown_the_command(page, page_problems, service, index):
    console = sign_in(page, service, "ben")
    run = write_run(console, "age > 70", "elsewhere")
    expect(run.get_by_test_id("confirm")).to_contain_text(f"--expect {index.count('age > 70')}")
    expect(run.get_by_role("button", name=re.compile("^Send to"))).to_have_count(0)
    button(run, "Remove").click()
    button(page.get_by_role("dialog"), "Remove").click()
    expect(page.locator(".run-table tbody tr", has_text="elsewhere")).to_have_count(0)


def test_refused_message_is_shown_and_nothing_is_written(console, service):
    console.open(view="runs", expr=EXPR, send="engagelab")
    console.page.locator("summary", has_text="Whole message as JSON").click()
    field = console.page.locator("textarea.json")
    field.fill('{"title": "x", "titel": "y"}')
    console.page.get_by_label("Name of the run").fill("refused")
    button(console.page, "Write the requests and try").click()
    expect(console.page.locator(".notice")).to_contain_text("titel")
    assert not (service.folder / "runs" / "refused").exists()
    field.fill("{")
    expect(button(console.page, "Write the requests and try")).to_be_disabled()


# All of them


LOOKS = [("light", "English", 1_280), ("dark", "中文", 1_280), ("dark", "English", 380)]
VIEWS = [
    ("vendors", {"expr": EXPR, "vendor": "tpns", "with": "engagelab"}),
    ("segments", {"expr": "everyone", "one": "men", "two": "young men", "history": "men", "segment": "men"}),
    ("runs", {"expr": EXPR}),
    ("runs", {"expr": EXPR, "send": "engagelab"}),
]
# Each view in two of the looks, and in all of them in a long run: axe takes seconds.
VIEWS_AND_LOOKS = [
    (*view, *look)
    for view_number, view in enumerate(VIEWS)
    for look_number, look in enumerate(LOOKS)
    if IS_FULL_SIZE or look_number != view_number % len(LOOKS)
]


@pytest.mark.parametrize(("view", "query", "scheme", "language", "width"), VIEWS_AND_LOOKS)
def test_axe_finds_nothing_and_the_page_fits(console, view, query, scheme, language, width):
    console.page.emulate_media(color_scheme=scheme)
    console.page.set_viewport_size({"width": width, "height": 800})
    console.open(view=view, **query)
    if language == "中文":
        button(console.page, "中文").click()
    console.page.wait_for_timeout(300)
    assert find_axe_violations(console.page) == []
    assert console.page.evaluate("document.documentElement.scrollWidth") <= width


def test_views_have_keys(console):
    console.open(expr="male")
    console.page.keyboard.press("Escape")
    for key, view in (("4", "vendors"), ("5", "segments"), ("6", "runs"), ("1", "funnel")):
        console.page.keyboard.press(key)
        expect(console.page.get_by_test_id(f"view-{view}")).to_be_visible()

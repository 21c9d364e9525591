"""The console in chromium, against a process of `audience serve`: each test is something that a user does."""

import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import polars as pl
import pytest
from browsers import find_axe_violations
from console_page import ConsolePage
from fact_files import TESTS_FOLDER, read_facts
from playwright.sync_api import expect
from pygments.token import Keyword, Operator
from service import run_serve
from sizes import IS_FULL_SIZE

import audience
from audience import DeviceIndex, get_vendor
from audience.language.highlighting import AudienceLexer
from audience.server.app import STATIC_FOLDER
from audience.server.keys import add_key
from audience.testing.devices import generate_devices
from audience.vendors.problem_codes import list_codes

DEVICES = 20_000
LONG_NAME = "a name of eighty characters that somebody has pasted from a report of last year"
ARABIC_NAME = "الرياض"
LANGUAGE_PAGE = TESTS_FOLDER.parent / "docs" / "language.md"
CLICKS = read_facts(TESTS_FOLDER / "console" / "clicks.txt")
MODIFIERS = {"add": [], "exclude": ["Alt"], "only": ["Shift"]}
READ_KEYWORDS = """async (hash) => {
    const changed = new Promise((resolve) => addEventListener("hashchange", resolve, { once: true }));
    location.hash = hash;
    await changed;
    const editor = document.querySelector("[data-testid=expression]").shadowRoot;
    return [...editor.querySelectorAll(".token-keyword")].map((word) => word.textContent);
}"""
INVALID_WHILE_TYPED = "status of 400"  # chromium reports every refused call, also those of half an expression


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("console")
    index = DeviceIndex.build(generate_devices(DEVICES), folder / "devices.index", timezone="Asia/Shanghai")
    index.save_segment("young", "male AND age < 30")
    index.save_segment("south", "province in (guangdong, hunan)")
    DeviceIndex.build(generate_devices(1_000), folder / "moving.index")
    numbers = range(100_000)
    odd = {
        "token": [f"t{number}" for number in numbers],
        "user": [f"user{number}" for number in numbers],
        "城市": [("杭州", ARABIC_NAME, LONG_NAME)[number % 3] for number in numbers],
    }
    DeviceIndex.build(pl.DataFrame(odd), folder / "odd.index")
    DeviceIndex.build(generate_devices(0), folder / "empty.index")
    return folder


@pytest.fixture(scope="module")
def service(folder):
    indexes = [folder / f"{name}.index" for name in ("devices", "odd", "empty", "moving")]
    with run_serve(*indexes, folder=folder) as process:
        yield process


@pytest.fixture
def index(folder):
    return DeviceIndex.open(folder / "devices.index")


@pytest.fixture
def console(page, page_problems, service):
    page_problems.expected = INVALID_WHILE_TYPED
    return ConsolePage(page, service.url)


# Typing


def test_typing_an_expression_shows_its_exact_count(console, index):
    console.open()
    console.type("male AND province:guangdong AND age < 30")
    assert console.wait_for_count("male AND province:guangdong AND age < 30") == index.count(
        "male AND province:guangdong AND age < 30"
    )
    share = index.count("male AND province:guangdong AND age < 30") / DEVICES
    expect(console.page.locator(".count-share")).to_have_text(f"{share:.1%} of {DEVICES:,} devices")
    expect(console.page.locator(".count-details")).to_contain_text("Shanghai")
    expect(console.page.locator(".count-details")).to_contain_text(f"snapshot {index.snapshot.manifest.number}")


def test_completion_shows_counts_within_what_is_selected_and_inserts_a_value(console, index):
    console.open()
    console.type("age < 30 AND province:gu")
    option = console.page.get_by_role("option", name=re.compile("guangdong"))
    expect(option).to_contain_text(f"{index.count('province:guangdong'):,}")
    console.page.wait_for_timeout(100)  # a completion that has only just opened takes no key
    console.page.keyboard.press("Enter")
    console.wait_for_count("age < 30 AND province:guangdong")


def test_enter_without_a_completion_changes_nothing(console):
    console.open(expr="male")
    console.editor.press("Control+End")
    console.page.keyboard.press("Enter")
    assert console.shown_expr() == "male"
    console.page.keyboard.press("Shift+Enter")
    console.page.keyboard.insert_text("AND vip_gold")
    console.page.wait_for_timeout(200)
    assert console.shown_expr() == "male\nAND vip_gold"


def test_keywords_are_coloured_where_the_grammar_reads_keywords(console):
    page_text = re.sub(r"^```.*?^```", "", LANGUAGE_PAGE.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    exprs = [text for text in dict.fromkeys(re.findall(r"`([^`]+)`", page_text)) if is_valid(text)]
    assert len(exprs) > 80
    console.open()
    differences = []
    for expr in exprs:
        shown = console.page.evaluate(READ_KEYWORDS, f"#/devices/funnel?expr={quote(expr)}")
        expected = list(iter_keywords(expr))
        if shown != expected:
            differences.append((expr, shown, expected))
    assert differences == []


def is_valid(text: str) -> bool:
    """Whether *text* is an expression, and shown in the editor as it is written."""
    try:
        audience.parse(text, folder=None)
    except audience.AudienceError:
        return False
    return text == " ".join(text.split())


def iter_keywords(expr: str) -> Iterator[str]:
    """The words that the grammar reads as keywords."""
    for _, kind, text in AudienceLexer().get_tokens_unprocessed(expr):
        if (kind in Keyword or kind is Operator.Word) and text[0].isalpha():
            yield from text.split()


# Mistakes


def test_syntax_error_has_its_place_and_hint_and_the_old_count_stays_greyed(console, index):
    console.open(expr="male")
    console.type(" AN")
    expect(console.page.locator(".problem")).to_contain_text("unexpected 'AN'")
    expect(console.page.locator(".problem .hint")).to_contain_text("put AND or OR before it")
    assert console.page.locator(".problem-error").inner_text() == "AN"
    expect(console.page.locator(".count.is-stale")).to_have_count(1)
    assert console.count.inner_text() == f"{index.count('male'):,}"


def test_misspelled_attribute_is_corrected_by_one_click(console):
    console.open()
    console.replace("male AND prvince:guangdong")
    console.page.locator(".problem button.fix").click()
    console.wait_for_count("male AND province:guangdong")
    assert console.shown_expr() == "male AND province:guangdong"


def test_misspelled_value_is_corrected_by_a_key(console):
    console.open(expr="male AND province:guangdon")
    expect(console.page.locator(".problem button.fix")).to_be_visible()
    console.editor.press("Alt+Enter")
    console.wait_for_count("male AND province:guangdong")


def test_misspelled_word_behind_a_wide_character_is_the_one_that_is_corrected(console):
    console.open()
    console.replace('NOT "🙂" AND prvince:hunan')
    console.page.locator(".problem button.fix").click()
    console.wait_for_count('NOT "🙂" AND province:hunan')


def test_when_nobody_matches_the_page_names_the_condition_and_removes_it(console, index):
    console.open(expr="male AND age < 10")
    notice = console.page.locator(".notice")
    expect(notice).to_contain_text("No device matches")
    expect(notice).to_contain_text("age < 10")
    notice.get_by_role("button", name="Remove it").click()
    assert console.wait_for_count("male") == index.count("male")


# Clicking


@pytest.mark.parametrize(("click", "before", "after"), CLICKS)
def test_click_on_a_value_changes_the_expression(console, click, before, after):
    value, _, expr = before.partition(":")
    console.open(expr=expr.strip()) if expr.strip() else console.open()
    if not console.value(value).is_visible():
        console.page.locator("summary", has_text="tag").click()
    console.value(value).click(modifiers=MODIFIERS[click])
    console.wait_for_count(after)
    assert console.linked().get("expr", "everyone") == after


def test_range_is_added_from_the_side_panel(console, index):
    console.open()
    panel = console.page.get_by_role("complementary")
    panel.locator("summary", has_text=re.compile("^age")).click()
    panel.get_by_label("Lowest age").fill("20")
    panel.get_by_label("Highest age").fill("29")
    panel.get_by_role("button", name="Add", exact=True).click()
    assert console.wait_for_count("age between 20 and 29") == index.count("age between 20 and 29")


def test_segment_is_added_from_the_side_panel(console, index):
    console.open(expr="brand:vivo")
    console.value("@young").click()
    assert console.wait_for_count("brand:vivo AND @young") == index.count("brand:vivo AND @young")


def test_a_hundred_thousand_values_are_a_bounded_list_with_a_search(console):
    console.open("odd")
    panel = console.page.get_by_role("complementary")
    expect(panel.locator("summary", has_text="user")).to_contain_text("100,000 values")
    assert panel.locator(".values li").count() < 300


# The funnel


def test_funnel_has_the_counts_of_the_explanation(console, index):
    expr = "male AND (province:guangdong OR province:hunan) AND NOT version:1.0.2"
    console.open(expr=expr)
    rows = console.page.locator(".funnel tbody tr")
    explained = index.explain(expr)
    expect(rows).to_have_count(len(explained))
    for row, line in zip(rows.all(), explained, strict=True):
        expect(row).to_contain_text(line.text)
        expect(row.locator("td").first).to_have_text(f"{line.device_count:,}")


def test_node_that_is_switched_off_shows_what_it_costs_and_can_be_removed(console, index):
    console.open(expr="male AND age < 30 AND brand:vivo")
    console.page.get_by_label(re.compile("Count with age < 30")).uncheck()
    without = index.count("male AND brand:vivo")
    expect(console.page.get_by_test_id("without")).to_have_text(f"{without:,} devices")
    assert console.linked()["off"] == "1"
    console.page.locator(".switched-off").get_by_role("button", name="Remove it").click()
    assert console.wait_for_count("male AND brand:vivo") == without


# The link


def test_link_holds_expression_index_view_and_moment(console):
    console.open(view="funnel", expr="male", as_of="2020-04-08T09:00")
    assert "Apr 8, 2020" in console.page.locator(".count-details").inner_text()
    console.type(" AND active within 3 days")
    console.wait_for_count("male AND active within 3 days")
    held = console.linked()
    assert held == {"path": "/devices/funnel", "expr": "male AND active within 3 days", "as_of": "2020-04-08T09:00"}
    before = console.count.inner_text()
    console.page.reload()
    console.wait_for_count("male AND active within 3 days")
    assert console.count.inner_text() == before
    assert console.shown_expr() == "male AND active within 3 days"


def test_back_returns_to_the_expression_before_a_click(console):
    console.open(expr="brand:vivo")
    console.value("guangdong").click()
    console.wait_for_count("brand:vivo AND province:guangdong")
    console.page.go_back()
    console.wait_for_count("brand:vivo")
    assert console.shown_expr() == "brand:vivo"


def test_moment_is_changed_in_a_dialog(console, index):
    console.open(expr="active within 3 days")
    console.page.locator(".count-details button").click()
    console.page.get_by_label("Day and time").fill("2020-04-08T09:00")
    console.page.get_by_role("button", name="Ask as of this moment").click()
    expected = index.count("active within 3 days", as_of="2020-04-08T09:00")
    expect(console.count).to_have_text(f"{expected:,}")
    assert expected > 0


def test_broken_link_opens_a_page_that_says_so(console):
    console.page.goto(f"{console.url}/#/%E0%A4%A/nonsense?expr=%zz&expr")
    expect(console.page.locator(".notice")).to_contain_text("The service has no index")
    console.page.get_by_label("Index").select_option("odd")
    expect(console.page.locator(".notice")).to_have_count(0)


# How it looks


def test_page_is_dark_or_light_as_the_system_and_as_chosen(console):
    def background() -> str:
        return console.page.evaluate("getComputedStyle(document.body).backgroundColor")

    console.page.emulate_media(color_scheme="dark")
    console.open(expr="male")
    assert background() == "rgb(21, 23, 26)"
    console.page.get_by_role("button", name="Auto").click()
    assert background() == "rgb(255, 255, 255)"
    console.page.reload()
    console.wait_for_count("male")
    assert background() == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [380, 1280, 2560])
@pytest.mark.parametrize("view", ["funnel", "profile", "overlap"])
def test_page_fits_its_width(console, width, view):
    console.page.set_viewport_size({"width": width, "height": 800})
    console.open(view=view, expr="male AND (province:guangdong OR province:hunan) AND age < 30")
    console.page.wait_for_timeout(200)
    assert console.page.evaluate("document.documentElement.scrollWidth") <= width
    expect(console.count).to_be_in_viewport()


def test_side_panel_is_opened_by_a_button_on_a_phone(console):
    console.page.set_viewport_size({"width": 380, "height": 800})
    console.open()
    expect(console.value("guangdong")).to_be_hidden()
    console.page.get_by_role("button", name="Attributes and segments").click()
    console.value("guangdong").click()
    console.wait_for_count("province:guangdong")
    console.page.keyboard.press("Escape")
    expect(console.value("guangdong")).to_be_hidden()


def test_page_is_chinese_where_the_browser_is_or_a_button_says_so(console):
    console.open(expr="male")
    console.page.get_by_role("button", name="中文").click()
    expect(console.page.get_by_role("tab").first).to_contain_text("漏斗")
    expect(console.page.locator(".count-share")).to_contain_text("台设备")
    assert console.page.evaluate("document.documentElement.lang") == "zh-CN"
    console.page.reload()
    expect(console.page.get_by_role("tab").first).to_contain_text("漏斗")
    shown = console.page.locator("body").inner_text()
    assert not re.findall(r"\b(?:Funnel|Profile|Devices|Share|snapshot|values|Filter)\b", shown)


def test_problems_are_in_chinese_with_what_the_service_wrote_in_english(console):
    console.open(view="vendors", expr="male")
    console.page.get_by_role("button", name="中文").click()
    expect(console.page.locator(".why").first).to_contain_text("无法确认厂商有此标签")
    console.visit(expr="male AND (age < 30")
    problem = console.page.locator(".problem")
    expect(problem).to_contain_text("括号没有闭合")
    expect(problem.locator('[lang="en"]').first).to_have_text("this bracket is not closed")


def test_problems_of_one_vendor_are_in_chinese_without_being_in_the_bundle(console):
    console.open(view="vendors", expr="NOT male", vendor="xiaomi")
    console.page.get_by_role("button", name="中文").click()
    [sentence] = [each.chinese for each in list_codes(get_vendor("xiaomi")) if each.code == "one-operator"]
    expect(console.page.locator("#answer")).to_contain_text(sentence)
    assert sentence not in (STATIC_FOLDER / "console.js").read_text("utf-8")


def test_names_of_eighty_characters_and_of_other_scripts_stay_in_their_place(console):
    console.page.set_viewport_size({"width": 380, "height": 800})
    console.open("odd")
    console.page.get_by_role("button", name="Attributes and segments").click()
    console.page.locator("summary", has_text="城市").click()
    for name in (LONG_NAME, ARABIC_NAME, "杭州"):
        if not console.value(name).is_visible():
            console.page.locator("summary", has_text="城市").click()
        box = console.value(name).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 380
    console.value(LONG_NAME).click()
    console.wait_for_count(f'城市:"{LONG_NAME}"')
    console.page.keyboard.press("Escape")
    assert console.page.evaluate("document.documentElement.scrollWidth") <= 380


# Keyboard


def test_everything_can_be_done_by_keyboard(console, index):
    console.open()
    console.page.keyboard.type("brand:vivo AND age < 30")  # the expression has the focus
    console.wait_for_count("brand:vivo AND age < 30")
    console.page.keyboard.press("Escape")
    console.page.keyboard.press("Escape")
    console.page.keyboard.press("3")
    expect(console.page.get_by_role("tab", name=re.compile("Overlap"))).to_have_attribute("aria-selected", "true")
    console.page.keyboard.press("?")
    expect(console.page.get_by_role("dialog")).to_contain_text("Go to the expression")
    console.page.keyboard.press("Escape")
    expect(console.page.get_by_role("dialog")).to_have_count(0)
    console.page.keyboard.press("/")
    console.page.keyboard.press("Control+End")
    console.page.keyboard.insert_text(" AND male")
    assert console.wait_for_count("brand:vivo AND age < 30 AND male") == index.count("brand:vivo AND age < 30 AND male")


def test_values_are_reached_added_and_excluded_by_keyboard(console):
    console.open()
    console.value("guangdong").focus()
    console.page.keyboard.press("Enter")
    console.wait_for_count("province:guangdong")
    console.page.keyboard.press("Alt+Enter")
    console.wait_for_count("NOT province:guangdong")
    outline = console.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


# What can go wrong


def test_empty_index_is_shown_as_empty(console):
    console.visit("empty")
    expect(console.page.locator(".notice")).to_contain_text("The index empty has no devices yet.")


def test_old_count_stays_greyed_while_a_new_one_is_slow(console, index):
    console.open(expr="male")
    held = []
    console.page.route("**/count", lambda route: held.append(route))
    console.type(" AND age < 30")
    expect(console.page.locator(".count-time")).to_have_text("counting…")
    expect(console.page.locator(".count.is-stale")).to_have_count(1)
    assert console.count.inner_text() == f"{index.count('male'):,}"
    console.page.unroute("**/count")
    console.type("0")
    console.wait_for_count("male AND age < 300")


def test_page_recovers_from_a_service_that_was_away(console, page_problems, index):
    page_problems.expected = (INVALID_WHILE_TYPED, "ERR_INTERNET_DISCONNECTED", "Failed to load resource")
    console.open(expr="male")
    console.page.context.set_offline(True)
    console.type(" AND age < 30")
    expect(console.page.get_by_role("alert")).to_contain_text("The service does not answer")
    console.page.context.set_offline(False)
    assert console.wait_for_count("male AND age < 30") == index.count("male AND age < 30")
    expect(console.page.get_by_role("alert")).to_have_count(0)


def test_new_snapshot_is_counted_without_a_key(console, folder):
    index = DeviceIndex.open(folder / "moving.index")
    console.open("moving", expr="brand:vivo")
    before = index.snapshot.manifest.number
    index.tag(index.resolve("brand:vivo").ids().head(10).to_list(), add=["seen"])
    expect(console.count).to_have_attribute("data-snapshot", str(before + 1))


def test_index_with_a_damaged_snapshot_is_shown_with_an_earlier_one(console, folder):
    manifest = folder / "moving.index" / "manifest.json"
    whole = manifest.read_bytes()
    console.open("moving", expr="brand:vivo")
    manifest.write_bytes(b"{")
    try:
        expect(console.page.get_by_role("alert")).to_contain_text("The current snapshot cannot be read: answers are of")
        assert console.count.inner_text() != "0"
    finally:
        manifest.write_bytes(whole)
    expect(console.page.get_by_role("alert")).to_have_count(0)


def test_snapshot_that_is_gone_has_a_notice_of_its_own(console, page_problems):
    page_problems.expected = "status of 410"
    problem = {"code": "snapshot-gone", "message": "snapshot 3 is no longer kept", "span": None, "hint": "ask again"}
    body = json.dumps({**problem, "detail": problem["message"], "problems": [problem]})
    gone = {"status": 410, "content_type": "application/problem+json", "body": body}
    console.page.route("**/profile", lambda route: route.fulfill(**gone))
    console.open(view="profile", expr="male")
    notice = console.page.locator(".notice")
    expect(notice.locator(".notice-title")).to_have_text("This snapshot is gone")
    expect(notice).to_contain_text("snapshot 3 is no longer kept")
    expect(notice.get_by_role("button")).to_have_text("Ask the current one")


# Accessibility


VIEWS = [
    ("funnel", "male AND age < 30 AND NOT version:1.0.2"),
    ("funnel", "male AND age < 10"),
    ("profile", "male AND age < 30"),
    ("overlap", "male"),
]
# Each view in one of the schemes, and in both in a long run: axe takes seconds.
VIEWS_AND_SCHEMES = [
    (*view, scheme)
    for number, view in enumerate(VIEWS)
    for scheme_number, scheme in enumerate(("light", "dark"))
    if IS_FULL_SIZE or scheme_number == number % 2
]


@pytest.mark.parametrize(("view", "expr", "scheme"), VIEWS_AND_SCHEMES)
def test_axe_finds_nothing(console, view, expr, scheme):
    console.page.emulate_media(color_scheme=scheme)
    console.open(view=view, expr=expr)
    console.page.wait_for_timeout(600)
    assert find_axe_violations(console.page) == []


def test_axe_finds_nothing_on_a_phone_with_a_mistake_and_an_open_completion(console):
    console.page.set_viewport_size({"width": 380, "height": 800})
    console.open(expr="male")
    console.type(" AND prvince:x AND bra")
    expect(console.page.get_by_role("listbox").get_by_role("option").first).to_be_visible()
    console.page.wait_for_timeout(400)
    assert find_axe_violations(console.page) == []


# Keys of the service


@pytest.fixture(scope="module")
def keys(folder):
    return {scope: add_key(folder / "keys.toml", scope, [scope]) for scope in ("count", "write")}


@pytest.fixture(scope="module")
def keyed_service(folder, keys, tmp_path_factory):
    own = tmp_path_factory.mktemp("keyed")
    with run_serve(folder / "devices.index", "--keys", folder / "keys.toml", folder=own) as process:
        yield process


def test_key_is_asked_for_checked_kept_in_the_tab_and_never_in_the_link(page, page_problems, keyed_service, keys):
    page_problems.expected = (INVALID_WHILE_TYPED, "status of 401")
    console = ConsolePage(page, keyed_service.url)
    console.visit(expr="male")
    field = page.get_by_label("Key", exact=True)
    field.fill("wrong")
    field.press("Enter")
    expect(page.get_by_role("alert").first).to_contain_text("does not accept this key")
    assert find_axe_violations(page) == []
    field.fill(keys["count"])
    field.press("Enter")
    console.wait_for_count("male")
    expect(page.locator(".chip")).to_have_text("read-only")
    page.reload()
    console.wait_for_count("male")
    assert keys["count"] not in page.url
    assert keys["count"] not in json.dumps(page.context.storage_state())
    assert quote(keys["count"]) not in page.content()

"""What the tests in a browser rely on: fonts, axe, and that a page's problems fail its test."""

from browsers import VIEWPORT, find_axe_violations, make_new

DRAW = """text => {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d");
    context.font = "40px sans-serif";
    context.fillText(text, 10, 60);
    return canvas.toDataURL();
}"""


def test_browser_has_chinese_glyphs(page):
    drawings = {page.evaluate(DRAW, character) for character in "广东省"}
    assert len(drawings) == 3, "every Chinese character looks the same: no font has them"


def test_axe_finds_what_is_wrong(page):
    page.set_content('<html lang="en"><title>Devices</title><main><h1>Devices</h1></main>')
    assert find_axe_violations(page) == []
    page.set_content('<html lang="en"><title>Devices</title><main><h1>Devices</h1><button></button></main>')
    assert [violation.split(":")[0] for violation in find_axe_violations(page)] == ["button-name"]


def test_page_problems_are_noted(page, page_problems):
    page.set_content(
        "<script>console.error('x'); fetch('http://elsewhere.example/').catch(() => 0); throw Error('y')</script>"
    )
    page.wait_for_function("true")
    assert {problem.split(":")[0] for problem in page_problems.unexpected()} == {"error", "request to another host"}
    page_problems.expected = ("",)


def test_nothing_of_a_test_is_left_on_its_page(page, page_problems):
    url = "http://127.0.0.1:9/"  # where nothing listens
    page.route(url, lambda route: route.fulfill(body="<p>Devices</p>", content_type="text/html"))
    page.goto(url)
    page.evaluate("localStorage.a = sessionStorage.b = document.cookie = 'c=d'; console.error('x')")
    page.set_viewport_size({"width": 380, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.context.set_offline(True)
    make_new(page, page_problems)
    assert (page.url, page_problems.problems, page_problems.expected) == ("about:blank", [], ())
    page.route(url, lambda route: route.fulfill(body="<p>Devices</p>", content_type="text/html"))
    page.goto(url)
    seen = "[localStorage.length, sessionStorage.length, document.cookie, innerWidth, navigator.onLine]"
    assert page.evaluate(seen) == [0, 0, "", VIEWPORT["width"], True]
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is False

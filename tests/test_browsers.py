"""What the tests in a browser rely on: fonts, axe, and that a page's problems fail its test."""

from browsers import find_axe_violations

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

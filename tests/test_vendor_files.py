"""What only one vendor needs is in files of its own, so that adding a vendor changes none of the others."""

import ast
import importlib
import re
import tomllib
from collections import Counter, defaultdict
from fnmatch import fnmatch
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import audience
from audience import PlanError, get_vendor, vendor_names
from audience.vendors import SHARED_MODULES
from audience.vendors.problem_codes import ProblemCode, list_codes, load_problem_codes

ROOT = Path(__file__).parents[1]
PACKAGE = Path(audience.__file__).parent
CODE_FILES = sorted(PACKAGE.glob("vendors/*/problem_codes.toml"))
CLIENT_FILES = sorted((ROOT / "tests" / "vendor_clients").glob("*.txt"))
HOMES = {file.stem for file in (PACKAGE / "vendors").iterdir()} - {"__init__", "__pycache__", *SHARED_MODULES}


@pytest.fixture(scope="module")
def pages():
    """The module docs/build_pages.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        yield importlib.import_module("build_pages")


@cache
def strings_by_home() -> dict[str, set[str]]:
    """The strings of the source by the vendor whose files have them; those of shared files are under an empty name."""
    found = defaultdict[str, set[str]](set)
    for file in PACKAGE.rglob("*.py"):
        place = file.relative_to(PACKAGE).with_suffix("").as_posix().removeprefix("sandbox/")
        home = place.split("/")[1] if place.startswith("vendors/") else ""
        nodes = ast.walk(ast.parse(file.read_text("utf-8")))
        strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        found[home if home in HOMES else ""] |= strings
    return found


# Problem codes


def test_every_file_of_codes_is_that_of_a_record():
    named = {get_vendor(name).problem_codes for name in vendor_names()} - {None}
    assert named == {*CODE_FILES}


def test_each_code_is_in_one_file(pages):
    shared = [code for codes in pages.load_shared_codes().values() for code in codes]
    own = [each.code for file in CODE_FILES for each in load_problem_codes(file)]
    assert [code for code, times in Counter(shared + own).items() if times > 1] == []


@pytest.mark.parametrize("file", CODE_FILES, ids=lambda file: file.parent.name)
def test_codes_of_a_vendor_are_raised_by_it_and_described_in_both_languages(pages, file):
    strings = strings_by_home()[file.parent.name]
    computed = [code for code in pages.source_problem_codes(file.parent) if "*" in code]
    for each in load_problem_codes(file):
        is_raised = each.code in strings or any(fnmatch(each.code, code) for code in computed)
        assert is_raised, f"the vendor does not raise {each.code}"
        assert each.cause.endswith(".") and each.remedy.endswith("."), each.code
        assert re.search("[\u4e00-\u9fff]", each.chinese), each.code
        assert each.area in pages.load_shared_codes(), f"{each.code}: no heading of the page is {each.area!r}"


def test_shared_codes_are_not_of_one_vendor_alone(pages):
    computed = [code for code in pages.source_problem_codes() if "*" in code]
    for code in chain.from_iterable(pages.load_shared_codes().values()):
        if any(fnmatch(code, pattern) for pattern in computed):
            continue
        homes = [home for home, strings in strings_by_home().items() if code in strings]
        assert homes == [""] or len(homes) != 1, f"{code} belongs into audience/vendors/{homes[0]}/problem_codes.toml"


BAD_FILES = [
    b"no-badge = [",
    b'["Messages"]\nno-badge = ["A.", "B."]',
    b'["Messages"]\nno-badge = ["A.", "B.", 3]',
    b'no-badge = ["A.", "B.", "C"]',
    b"\xff",
]


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_file_that_is_not_one_is_refused(tmp_path, text):
    file = tmp_path / "problem_codes.toml"
    file.write_bytes(text)
    with pytest.raises(PlanError, match=r"problem_codes\.toml") as refused:
        load_problem_codes(file)
    assert refused.value.code == "broken-vendor"


def test_codes_are_those_of_the_file(tmp_path):
    file = tmp_path / "problem_codes.toml"
    file.write_text('["Messages"]\nno-badge = ["There is none.", "Leave it out.", "没有角标"]', "utf-8")
    [code] = load_problem_codes(file)
    assert code == ProblemCode("no-badge", "Messages", "There is none.", "Leave it out.", "没有角标")


def test_page_has_a_row_for_each_code_of_a_vendor(pages):
    page = pages.problem_codes_page()
    for vendor in map(get_vendor, vendor_names()):
        for each in list_codes(vendor):
            [row] = [line for line in page.splitlines() if f'<a id="{each.code}"></a>' in line]
            assert f"[{vendor.title}](vendors/{vendor.name}.md)" in row
            assert row.replace("\\|", "|").endswith(f"| {each.cause} | {each.remedy} |")


# Clients of vendors that talk to the sandbox in tests


@pytest.mark.parametrize("file", CLIENT_FILES, ids=lambda file: file.stem)
def test_clients_of_a_vendor_are_in_a_file_of_its_name(file):
    text = file.read_text("utf-8")
    assert file.stem in HOMES and text.endswith("\n")  # the files are read one after the other
    assert [str(Requirement(line)) for line in text.splitlines()] == text.splitlines()


def test_project_lists_no_client_of_a_vendor():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    clients = {Requirement(line).name for file in CLIENT_FILES for line in file.read_text("utf-8").splitlines()}
    assert clients & {Requirement(line).name for line in lines} == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_documented_set_up_installs_the_clients(page):
    [command] = re.findall(r"^.*cat tests/.*$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert re.search(r"^(\$ )?cat tests/vendor_clients/\*\.txt \| \S*pip install -e '.*' -r /dev/stdin$", command)

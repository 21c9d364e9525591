"""The house as it is drawn: which module a dependency comes in through, and who knows whom."""

import ast
from pathlib import Path

import pytest

import audience

HOUSE = Path(__file__).parents[1] / "audience"
MODULES = {str(file.relative_to(HOUSE)): file for file in sorted(HOUSE.rglob("*.py"))}
COMMANDS = (
    *"build campaign catalog change codes demo emit explain".split(),
    *"keep lint options parse plan sandbox segment sending translate".split(),
)
DOORS = {
    "aiohttp": {"sandbox/server.py"},
    "lark": {"language/grammar.py"},
    "regex": {"language/render.py"},
    "wcwidth": {"places.py"},
    "dd": {"algebra/equivalence.py"},
    "pyroaring": {"index/bits.py"},
    "packaging": {"index/values.py"},
    "xxhash": {"index/sound.py"},
    "pyarrow": {"index/arrow.py"},
    "polars_hash": {"index/hashing.py"},
    "cachetools": {"index/cache.py"},
    "filelock": {"locks.py"},
    "sqlite3": {"delivery/ledger.py"},
    "httpx": {"delivery/post.py"},
    "aiolimiter": {"delivery/pace.py"},
    "tenacity": {"delivery/patience.py"},
    "json5": {"vendors/base.py"},
    "typer": {"cli.py", "terminal/menu.py", *(f"commands/{name}.py" for name in COMMANDS)},
    "rich": {"terminal/screen.py"},
    "tomllib": {"catalog/attributes.py", "delivery/credentials.py"},
    "tomlkit": {"catalog/draft.py"},
}
MAY_IMPORT = {
    "language": {"language", "errors", "places"},
    "algebra": {"algebra", "language", "errors", "places"},
    "vendors": {"vendors", "algebra", "language", "errors", "places", "message"},
    "index": {"index", "vendors", "language", "errors", "places", "files", "locks"},
    "sandbox": {"sandbox", "demo", "errors", "places"},
    "catalog": {"catalog", "index", "vendors", "algebra", "language", "errors", "places"},
    "delivery": {
        "delivery",
        "campaign",
        "emit",
        "index",
        "vendors",
        "language",
        "errors",
        "places",
        "files",
        "locks",
        "message",
        "late",
    },
}


def imports(file: Path) -> set[str]:
    """The full names of the modules that *file* imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("package", DOORS)
def test_a_dependency_comes_in_through_its_door(package):
    assert {
        name for name, file in MODULES.items() if any(each.split(".")[0] == package for each in imports(file))
    } == DOORS[package]


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_part_of_the_house_knows_only_what_it_may(folder):
    for name, file in MODULES.items():
        if name.startswith(f"{folder}/"):
            parts = {each.split(".")[1] for each in imports(file) if each.startswith("audience.")}
            assert parts <= MAY_IMPORT[folder], name


def test_a_vendor_never_imports_a_vendor():
    for name, file in MODULES.items():
        owner = name.removesuffix(".py").split("/")[1] if name.startswith("vendors/") else ""
        if owner in audience.vendors():
            vendors = {each.split(".")[2] for each in imports(file) if each.startswith("audience.vendors.")}
            assert not vendors & {*audience.vendors()} - {owner}, name


def test_no_vendor_is_named_in_the_tests_of_all_vendors():
    for name in ("test_vendors.py", "test_translate.py", "test_third_party.py", "test_laws.py", "lines.py"):
        text = (HOUSE.parent / "tests" / name).read_text("utf-8")
        assert not [vendor for vendor in audience.vendors() if f'"{vendor}"' in text], name


def test_no_vendor_is_named_outside_its_file():
    for name, file in MODULES.items():
        if name.split("/")[0] in ("algebra", "index", "delivery", "plan.py", "batches.py", "emit.py", "campaign.py"):
            words = {
                node.value for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Constant)
            }
            assert not words & set(audience.vendors()), name


def test_modules_are_of_a_size_to_be_read_at_once():
    for name, file in MODULES.items():
        assert len(file.read_text("utf-8").splitlines()) <= 400, name


def test_the_public_names_are_sorted_and_there():
    assert audience.__all__ == sorted(audience.__all__)
    assert all(hasattr(audience, name) for name in audience.__all__)


def test_public_functions_say_what_they_do():
    for name in audience.__all__:
        assert getattr(audience, name).__doc__ or name == "Expr", name

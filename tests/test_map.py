"""The house as it is drawn: which module a dependency comes in through, and who knows whom."""

import ast
from functools import cache
from pathlib import Path

import pytest

import audience
from audience.vendors import SHARED_MODULES

PACKAGE_FOLDER = Path(__file__).parents[1] / "audience"
MODULES = {str(file.relative_to(PACKAGE_FOLDER)): file for file in sorted(PACKAGE_FOLDER.rglob("*.py"))}
DEPENDENCY_MODULES = {
    "aiohttp": {"sandbox/server.py", "delivery/transport/direct_client.py"},
    "yarl": {"delivery/transport/direct_client.py"},
    "pygments": {"language/highlighting.py"},
    "regex": {"language/grammar.py", "language/printer.py"},
    "wcwidth": {"span.py"},
    "langcodes": {"language/language_tags.py"},
    "dd": {"algebra/diagrams.py"},
    "pyroaring": {"index/storage/bitmaps.py", "index/storage/croaring.py"},
    "packaging": {"index/schema/value_types.py"},
    "xxhash": {"_fs/checksums.py"},
    "pyarrow": {"index/storage/arrow_file.py", "index/ingest/locations/arrow_streams.py"},
    "polars_hash": {"index/storage/id_column.py"},
    "chardet": {"_fs/text_encoding.py"},
    "filelock": {"_fs/locks.py"},
    "sqlite3": {"delivery/sqlite_file.py"},
    "httpx": {
        *(f"delivery/transport/{name}.py" for name in ("http", "proxied_client", "environment")),
        *("testing/fake_vendor.py", "index/ingest/locations/web_files.py"),
    },
    "duckdb": set(),  # index/ingest/locations/databases.py imports drivers by their names
    "deltalake": set(),
    "pyiceberg": {"index/ingest/locations/table_formats.py"},
    "sqlglot": {"index/query/sql/nodes.py"},
    "google": {"vendors/fcm/access.py"},
    "distributed": {"cluster/dask_cluster.py"},
    "dask": set(),
    "obstore": {"_fs/object_stores.py"},
    "platformdirs": {"_fs/state_folder.py", "index/storage/block_cache.py"},
    "tenacity": {"delivery/transport/retry.py"},
    "pythonjsonlogger": {"activity_log.py"},
    "json5": {"vendors/payload_reader.py"},
    "typer": {"cli/typer_app.py", "cli/completion.py", "cli/commands/demo.py", "cli/commands/segment_apply.py"},
    "rich": {"cli/output/widgets.py", "cli/output/help_screens.py", "cli/output/command_help.py"},
    "starlette": {
        *("server/app.py", "server/guards.py", "server/process.py", "server/streaming.py", "cli/commands/serve.py"),
    },
    "uvicorn": {"server/process.py", "server/http_protocol.py", "cli/commands/serve.py"},
    "httptools": {"cli/commands/serve.py", "cli/commands/mcp.py"},  # by uvicorn
    "prometheus_client": {"server/metrics.py", "cli/commands/serve.py", "cli/commands/mcp.py"},
    "mcp": {"agent_tools/mcp_server.py", "cli/commands/mcp.py"},
    "pydantic": {
        *(f"server/{name}.py" for name in ("app", "bodies", "calls", "json_body", "openapi")),
        *(
            f"server/endpoints/{name}.py"
            for name in ("insight", "plans", "queries", "runs", "segments", "streams", "translations")
        ),
        *("agent_tools/tools.py", "cli/commands/serve.py"),
    },
    "tomllib": {"_fs/toml_text.py", "delivery/transport/credentials.py", "vendors/problem_codes.py"},
    "tomlkit": {"cli/project_file/drafting.py", "planning/catalog/draft.py"},
}
# Data flows down these lists; a module imports from its own room and from those before it.
ROOMS = (
    *(
        "span",
        "errors",
        "argument_types",
        "counts",
        "html_table",
        "lazy_imports",
        "progress",
        "_fs",
        "activity_log",
        "cluster",
        "language",
        "algebra",
        "messages",
        "vendors",
        "index",
        "tag_sync",
    ),
    *("planning", "requests", "delivery", "testing", "sandbox", "json_forms", "server", "agent_tools", "cli"),
)
INDEX_ROOMS = ("schema", "storage", "records", "ingest", "query", "changes", "device_index")
# A plan writes its own requests: `Plan.requests` imports what batches them when it is called.
LATE = {("planning/plans.py", f"audience.requests.batching{name}") for name in ("", ".batch_audience")}
VENDOR_ROOMS = {name.removesuffix(".py").split("/")[1] for name in MODULES if name.startswith("vendors/")} - {
    "__init__",
    *SHARED_MODULES,
}
ROOMS_OF_ALL_VENDORS = {
    *("algebra", "index", "tag_sync", "planning", "requests", "delivery", "sandbox", "json_forms", "agent_tools"),
}
OF_THE_SANDBOX = {"sandbox", "testing", "errors", "span"}
REGISTRY_OF_THE_SANDBOX = "sandbox/endpoints.py"  # reads `Vendor.sandbox`, the names of modules with endpoints


@cache
def nodes_of(file: Path) -> tuple[ast.AST, ...]:
    """The nodes of the syntax tree of *file*."""
    return tuple(ast.walk(ast.parse(file.read_text("utf-8"))))


@cache
def imported_modules(file: Path) -> frozenset[str]:
    """The full names of the modules that *file* imports."""
    found = set[str]()
    for node in nodes_of(file):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


@pytest.mark.parametrize("package", DEPENDENCY_MODULES)
def test_dependencies_are_imported_by_one_module(package):
    assert {
        name for name, file in MODULES.items() if any(each.split(".")[0] == package for each in imported_modules(file))
    } == DEPENDENCY_MODULES[package]


def imports_against_the_flow(root: Path, package: str, rooms: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each module below *root*, the folder of *package*, with an import from a room that comes later in *rooms*."""
    rank = {room: at for at, room in enumerate(rooms)}
    return [
        (str(file.relative_to(PACKAGE_FOLDER)), name)
        for file in sorted(root.rglob("*.py"))
        if (own := file.relative_to(root).with_suffix("").parts[0]) in rank
        for name in sorted(imported_modules(file))
        if name.startswith(f"{package}.")
        if rank.get(name.removeprefix(f"{package}.").split(".")[0], -1) > rank[own]
    ]


def test_a_room_imports_only_from_rooms_before_it():
    assert {*imports_against_the_flow(PACKAGE_FOLDER, "audience", ROOMS)} == LATE


def test_a_room_of_the_index_imports_only_from_rooms_before_it():
    assert imports_against_the_flow(PACKAGE_FOLDER / "index", "audience.index", INDEX_ROOMS) == []


def test_every_module_stands_in_a_room():
    top = {name.removesuffix(".py").split("/")[0] for name in MODULES}
    assert top - {"__init__", "__main__"} == {*ROOMS}


def test_sandbox_shares_no_code_with_writers_of_requests():
    for name, file in MODULES.items():
        if name.startswith("sandbox/"):
            rooms = {each.split(".")[1] for each in imported_modules(file) if each.startswith("audience.")}
            allowed = OF_THE_SANDBOX | ({"vendors"} if name == REGISTRY_OF_THE_SANDBOX else set())
            assert rooms <= allowed, name


def test_vendors_do_not_import_each_other():
    for name, file in MODULES.items():
        owner = name.removesuffix(".py").split("/")[1] if name.startswith("vendors/") else ""
        if owner in VENDOR_ROOMS:
            vendors = {each.split(".")[2] for each in imported_modules(file) if each.startswith("audience.vendors.")}
            assert not vendors & VENDOR_ROOMS - {owner}, name


def test_shared_vendor_tests_name_no_vendor():
    for name in ("test_vendors.py", "test_translate.py", "test_third_party.py", "test_laws.py", "fact_files.py"):
        text = (PACKAGE_FOLDER.parent / "tests" / name).read_text("utf-8")
        assert not [vendor for vendor in audience.vendor_names() if f'"{vendor}"' in text], name


def test_vendors_are_named_only_in_their_modules():
    for name, file in MODULES.items():
        if name.split("/")[0] in ROOMS_OF_ALL_VENDORS and not name.startswith("sandbox/vendors/"):
            words = {node.value for node in nodes_of(file) if isinstance(node, ast.Constant)}
            assert not words & set(audience.vendor_names()), name


def test_modules_are_short():
    for name, file in MODULES.items():
        assert len(file.read_text("utf-8").splitlines()) <= 500, name


def test_public_names_are_sorted_and_defined():
    assert vars(audience)["__all__"] == sorted(vars(audience)["__all__"])
    assert all(hasattr(audience, name) for name in vars(audience)["__all__"])


def test_public_functions_have_docstrings():
    for name in vars(audience)["__all__"]:
        assert getattr(audience, name).__doc__ or name == "Expr", name

"""Start of a command: which modules are imported, and what happens on Ctrl-C during the imports.

Each test starts a new process. Nothing here is measured in seconds: a module is imported or not.
"""

import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import audience as library
import audience.delivery as delivery
from audience.cli import registry

HEAVY_MODULES = (
    "aiohttp dd filelock httpx jsonschema lark matplotlib networkx numpy pandas.core polars pyarrow "
    "pyarrow.compute pydantic_core regex rich tenacity tomlkit typer audience.planning.catalog.loader"
)
RUN_SCRIPT = f"""
import sys
from audience.__main__ import main
try:
    main()
finally:
    print(*(name for name in {HEAVY_MODULES.split()!r} if name in sys.modules), file=sys.stderr)
"""
LOADED_MODULES = """
--version =>
--help => rich
index --help => rich
index => pydantic_core rich typer
count --help => rich
index update --help => rich
send --help => rich
parse 'male AND NOT version:1.0.2' =>
count devices.index 'male AND NOT version:1.0.2' =>
count devices.index 'age < 30 OR NOT (province:guangdong AND male)' =>
count devices.index 'active within 7 days' --as-of 2020-04-10 --timezone Asia/Shanghai =>
count devices.index 'province matches "g*" AND NOT has(version)' =>
count devices.index 'province matches "g*"' =>
count devices.index 'tag matches "t00*"' =>
count devices.index 'at least 2 of (male, t001, version >= 1.0.2)' =>
count devices.index 'registration_id(r1)' =>
count devices.index 'registration_id(@ids.txt)' =>
count devices.index 'sample(10%, x) AND age < 30' => numpy
translate --to tpns 'male AND NOT version:1.0.2' =>
translate --to fcm 'a AND NOT (b OR c)' =>
translate --from tpns '{"audience_type": "all"}' =>
translate --to engagelab '(a OR b) AND (c OR d)' => dd networkx
vendors => rich
lint 'a AND b' => dd networkx pydantic_core typer
plan devices.index male --vendor tpns => jsonschema numpy polars pyarrow rich
emit devices.index male --vendor engagelab -o OUT => filelock numpy polars pyarrow pydantic_core rich typer
explain devices.index male --vendor tpns => numpy polars pyarrow rich
index info devices.index => numpy polars pyarrow rich
segment list devices.index => numpy polars pyarrow rich
error-codes tpns => rich
status . => httpx numpy polars pyarrow pydantic_core rich tenacity typer
"""


@pytest.mark.parametrize("line", LOADED_MODULES.strip().splitlines())
def test_commands_load_only_needed_modules(line, folder, tmp_path):
    (folder / "ids.txt").write_text("r1\nr2\n")
    command, _, loads = line.partition("=>")
    words = [str(tmp_path / "out") if word == "OUT" else word for word in shlex.split(command)]
    ran = subprocess.run([sys.executable, "-c", RUN_SCRIPT, *words], cwd=folder, capture_output=True, text=True)
    assert "Traceback" not in ran.stderr
    assert ran.stdout or not command.startswith("count"), ran.stderr
    assert ran.stderr.splitlines()[-1].split() == loads.split()


@pytest.mark.parametrize("line", ["count devices.index male", "count devices.index male --threads 1"])
def test_garbage_is_collected_once_command_is_loaded(line, folder):
    code = "import gc; from audience.__main__ import main\n"
    code += "try:\n    main()\nfinally:\n    print(gc.isenabled(), gc.get_freeze_count() > 0)"
    ran = subprocess.run([sys.executable, "-c", code, *line.split()], cwd=folder, capture_output=True, text=True)
    assert ran.stdout.splitlines()[1:] == ["True True"]


THREADS_SCRIPT = """
from pathlib import Path
from audience.__main__ import main
try:
    main()
finally:
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    print(len([name for name in names if not name.startswith("jemalloc")]))  # Arrow's, which only waits
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not list the threads of a process")
def test_count_starts_no_threads_of_libraries(folder):
    words = [sys.executable, "-c", THREADS_SCRIPT, "count", "devices.index", "male"]
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[1:] == ["1"]


FUNCTION_NAME = re.compile(r"^def (\w+)", re.MULTILINE)


def command_paths() -> list[str]:
    """Return where the function of each command is, as "module:function"."""
    commands = [*registry.COMMAND_PANELS.values(), *(group for _, group in registry.COMMAND_GROUPS.values())]
    return [path for group in commands for path in group.values()]


def test_registry_lists_every_command_once():
    modules = (Path(registry.__file__).parent / "commands").glob("[a-z]*.py")
    source = {f"{module.stem}:{name}" for module in modules for name in FUNCTION_NAME.findall(module.read_text())}
    assert len(command_paths()) == len({*command_paths()}) > 30
    assert {*command_paths()} == {path for path in source if path.partition(":")[2].startswith("run_")}


@pytest.mark.parametrize("path", command_paths())
def test_help_text_is_first_line_of_docstring(path):
    docstring = inspect.getdoc(registry.load_function(path))
    assert registry.read_summary(path) == docstring.partition("\n")[0]
    assert registry.read_summary(path).endswith(".")


def test_help_imports_no_command():
    code = "import sys; from audience.cli.app import run\n"
    code += "try:\n    run(['--help'])\nexcept SystemExit:\n    pass\n"
    code += "assert not [name for name in sys.modules if name.startswith('audience.cli.commands.')]"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("package", [library, delivery])
def test_public_names_are_those_of_the_stub(package):
    assert package.__all__ == sorted(package.__all__)
    assert {*package.__all__} <= {*dir(package)}
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="plam"):
        _ = package.plam


def test_public_functions_and_modules_do_not_hide_each_other():
    code = "import audience.planning.planner, audience.vendors.fcm, audience.delivery.runs\n"
    code += "from audience.delivery import send\n"
    code += "assert callable(audience.plan) and audience.planning.planner.Plan is audience.Plan\n"
    code += "assert send is audience.delivery.runs.send"
    subprocess.run([sys.executable, "-c", code], check=True)


INTERRUPTED_SCRIPT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from audience.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["audience.cli.app", "audience.cli.commands.count", "pyroaring"])
def test_ctrl_c_during_import_exits_quietly(module, folder):
    words = [sys.executable, "-c", INTERRUPTED_SCRIPT.format(module=module), "count", "devices.index", "male"]
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


@pytest.mark.parametrize("module", ["numpy", "numpy.linalg"])
def test_ctrl_c_during_import_of_a_command_is_reported(module, folder):
    script = INTERRUPTED_SCRIPT.format(module=module)
    words = [sys.executable, "-c", script, "count", "devices.index", "sample(50%, x)"]
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted: stopped before it was done\n")


def test_ignored_sigint_stays_ignored(folder):
    words = [sys.executable, "-c", INTERRUPTED_SCRIPT.format(module="pyroaring"), "count", "devices.index", "everyone"]
    ignoring = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, preexec_fn=ignoring)
    assert (ran.returncode, ran.stdout) == (0, "5000\n")


@pytest.mark.parametrize("words", [["parse", "a"], ["vendors"], ["index", "info", "devices.index"], ["--help"]])
def test_closed_pipe_exits_quietly(words, folder):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        command = [sys.executable, "-m", "audience", *words]
        ran = subprocess.run(command, cwd=folder, stdout=gone, stderr=subprocess.PIPE, text=True)
    assert (ran.returncode, ran.stderr) == (1, "")

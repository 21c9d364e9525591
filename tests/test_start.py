"""What is loaded for a command, and what happens to it before it has begun.

Each process is a new one, and nothing here is measured in seconds: a module is loaded or not.
"""

import inspect
import os
import shlex
import signal
import subprocess
import sys

import pytest

import audience as library
import audience.delivery as delivery
from audience.cli import registry

HEAVY_MODULES = (
    "aiohttp aiolimiter dd httpx jsonschema lark matplotlib networkx numpy polars pyarrow rich tenacity tomlkit"
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
parse 'male AND NOT version:1.0.2' => lark
count devices.index 'male AND NOT version:1.0.2' => lark numpy pyarrow
count devices.index 'sample(10%, x) AND age < 30' => lark numpy pyarrow
count devices.index 'registration_id(r1)' => lark numpy polars pyarrow
translate --to tpns 'male AND NOT version:1.0.2' => lark
translate --to fcm 'a AND NOT (b OR c)' => lark
translate --from tpns '{"audience_type": "all"}' => lark
translate --to engagelab '(a OR b) AND (c OR d)' => dd lark networkx
vendors => lark rich
lint 'a AND b' => dd lark networkx
plan devices.index male --vendor tpns => jsonschema lark numpy polars pyarrow rich
emit devices.index male --vendor engagelab -o OUT => lark numpy polars pyarrow rich
explain devices.index male --vendor tpns => lark numpy polars pyarrow rich
index info devices.index => lark numpy polars pyarrow rich
segment list devices.index => lark numpy polars pyarrow rich
error-codes tpns => lark rich
status . => httpx lark numpy polars pyarrow rich tenacity
"""


@pytest.mark.parametrize("line", LOADED_MODULES.strip().splitlines())
def test_commands_load_only_needed_modules(line, folder, tmp_path):
    command, _, loads = line.partition("=>")
    words = [str(tmp_path / "out") if word == "OUT" else word for word in shlex.split(command)]
    ran = subprocess.run([sys.executable, "-c", RUN_SCRIPT, *words], cwd=folder, capture_output=True, text=True)
    assert "Traceback" not in ran.stderr
    assert ran.stderr.splitlines()[-1].split() == loads.split()


def test_command_docstrings_match_registry():
    entries = [entry for group in vars(registry).values() if isinstance(group, tuple) for entry in group]
    entries += [entry for panel in registry.COMMAND_PANELS.values() for entry in panel]
    assert len(entries) == len({(name, place) for name, place, _ in entries}) > 30
    for _, place, sentence in entries:
        assert inspect.getdoc(registry._make_loader(place)()).partition("\n\n")[0] == sentence, place


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


@pytest.mark.parametrize("module", ["audience.cli.app", "typer", "audience.cli.commands.count", "numpy", "pyarrow.lib"])
def test_ctrl_c_during_import_exits_quietly(module, folder):
    words = [sys.executable, "-c", INTERRUPTED_SCRIPT.format(module=module), "count", "devices.index", "male"]
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


def test_ignored_sigint_stays_ignored(folder):
    words = [sys.executable, "-c", INTERRUPTED_SCRIPT.format(module="numpy"), "count", "devices.index", "everyone"]
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

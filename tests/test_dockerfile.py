"""The Dockerfile, without a container: what it copies, installs and starts. `.ci/run` builds it where an engine is."""

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch

from served import run_service
from test_readme import ROOT

from audience.cli import registry
from audience.cli.project_file.defaults import read_given

TEXT = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
LINES = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def arguments_of(keyword: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in LINES if line.split()[0] == keyword]


def test_image_has_two_stages_and_no_root():
    assert len(arguments_of("FROM")) == 2
    [uid] = re.findall(r"useradd --uid (\d+) --create-home audience", TEXT)
    assert arguments_of("USER") == [uid]  # a number, which Kubernetes knows not to be root
    last_stage = LINES[max(at for at, line in enumerate(LINES) if line.startswith("FROM")) :]
    assert [line for line in last_stage if line.startswith("COPY")] == ["COPY --from=build /opt/audience /opt/audience"]


def test_versions_and_extras_exist():
    options = dict(each.split("=") for each in arguments_of("ARG"))
    assert tuple(map(int, options["PYTHON"].split("."))) >= (3, 11)
    assert PROJECT["requires-python"] == ">=3.11"
    assert set(options["EXTRAS"].split(",")) <= PROJECT["optional-dependencies"].keys()


def test_what_is_copied_is_all_that_the_wheel_needs_and_all_that_is_sent():
    copied = {word for each in arguments_of("COPY")[:3] for word in each.split()[:-1]}
    ignored, *allowed = (ROOT / ".dockerignore").read_text("utf-8").split()[:-1]
    assert (ignored, {each.removeprefix("!") for each in allowed}) == ("*", copied)
    assert all((ROOT / each).exists() for each in copied)
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {PROJECT["readme"], *PROJECT["license-files"], *hatch["packages"], *hatch["force-include"]}
    assert needed | {"pyproject.toml"} == copied
    assert not any(fnmatch(".git", each) for each in copied)


def test_entry_is_a_command_that_exists():
    [entry], [command] = map(json.loads, arguments_of("ENTRYPOINT")), map(json.loads, arguments_of("CMD"))
    assert entry == ["audience"]
    found = registry.find_command(command)
    assert found is not None
    given = read_given(registry.read_parameters(registry.load_function(found[0])), found[1])
    assert given.arguments == ["/data/devices.index"]
    assert given.options == {"host": ["0.0.0.0"], "keys": ["/data/keys.json"]}


def test_health_is_that_of_the_service(folder):
    [words] = re.findall(r"HEALTHCHECK .* CMD (\[.*\])", TEXT)
    words = json.loads(words)
    assert words[0] == "python"
    with run_service(folder, "devices.index") as service:
        assert "127.0.0.1:8780/" in words[2]
        code = words[2].replace("8780", str(service.address[1]))
        up = subprocess.run([sys.executable, "-c", code], capture_output=True)
    down = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert (up.returncode, down.returncode) == (0, 1)

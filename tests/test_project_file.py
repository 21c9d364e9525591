"""The project file audience.toml: where it is found, what it may hold, and which options get their values from it."""

import os
import re
from pathlib import Path

import polars as pl
import pytest
from fact_files import read_facts
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples
from test_quick_parser import COMMANDS, OF_TYPER, WORDS, read_with_typer
from test_start import command_paths

from audience import ConfigError
from audience.cli import registry
from audience.cli.declarations import Option
from audience.cli.project_file.defaults import add_defaults, read_given
from audience.cli.project_file.drafting import draft_project_file
from audience.cli.project_file.finding import find_project_file
from audience.cli.project_file.options import list_section_options, make_section_words, value_type
from audience.cli.project_file.reading import parse_project_file

FACTS = read_facts(Path(__file__).with_name("project_files.txt"))
BUILD = ["index", "build", "--config=crm/audience.toml"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Write a project file, `audience.toml` by default, and return its path; the working folder is that of the test."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "audience.toml") -> Path:
        path = Path(name)
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, "utf-8")
        path.chmod(0o644)
        return path

    return write


@pytest.mark.parametrize(("verb", "text", "expected"), FACTS, ids=[fact[1][:60] for fact in FACTS])
def test_project_file_gives_defaults_or_an_error_with_its_line(verb, text, expected, project):
    project(text.replace("⏎", "\n"), "crm/audience.toml")
    if verb == "accept":
        assert " ".join(add_defaults(BUILD).words[2:-1]) == expected
        return
    code, line, words = expected.split(" ", 2)
    with pytest.raises(ConfigError) as raised:
        add_defaults(BUILD)
    [problem] = raised.value.problems
    assert problem.code == code
    assert words in str(problem)
    assert f"line {line}:" in problem.message or line == "-"
    assert "hidden" not in str(problem)


def words_of(line: str) -> list[str]:
    return add_defaults(line.split()).words


def test_values_come_from_the_file_unless_an_option_is_given(project):
    project('catalog = "c.toml"\ncredentials = "keys.toml"\n[vendors]\ntpns.host = "shanghai"\njpush.host = "beijing"')
    hosts = ["--host=tpns=shanghai", "--host=jpush=beijing"]
    assert words_of("plan i a --vendor tpns") == ["plan", "--catalog=c.toml", "i", "a", "--vendor", "tpns"]
    assert words_of("plan i a --vendor tpns --catalog other") == "plan i a --vendor tpns --catalog other".split()
    assert words_of("plan i a --catalog=other") == "plan i a --catalog=other".split()
    assert words_of("plan i --vendor --catalog a")[1] == "--catalog=c.toml"  # the value of another option
    assert words_of("plan i -- --catalog")[1] == "--catalog=c.toml"
    assert words_of("send f --message m") == ["send", "--credentials=keys.toml", *hosts, "f", "--message", "m"]
    assert words_of("send f --host tpns=guangzhou")[1:3] == ["--credentials=keys.toml", hosts[1]]
    assert words_of("send f --host http://127.0.0.1:1")[1:3] == ["--credentials=keys.toml", "f"]
    assert words_of("serve i")[1:5] == ["--catalog=c.toml", "--credentials=keys.toml", *map(as_vendor_host, hosts)]


def as_vendor_host(word: str) -> str:
    return word.replace("--host", "--vendor-host")


def test_other_commands_take_nothing_from_the_file(project):
    project('runs = "runs"\nindex = "devices.index"\n[devices]\ntable = "d.csv"\nnumber = "age"')
    for line in (
        *("count i a", "parse a", "index info i", "forget i x", "send f --message m", "index build --help"),
        *("index build other.csv -o other.index", "index update i", "cuont", "--version", ""),
    ):
        assert words_of(line) == line.split(), line
    assert words_of("serve i") == ["serve", "--runs=runs", "i"]


def test_options_of_a_build_win_over_the_file(project):
    project('index = "devices.index"\n[devices]\ntable = "d.csv"\nnumber = ["age", "n"]\ntimezone = "Asia/Tokyo"')
    words = ["--number=age", "--number=n", "--timezone=Asia/Tokyo", "--out=devices.index", "d.csv"]
    assert words_of("index build --replace")[2:] == [*words, "--replace"]
    assert words_of("index build --number x -o y")[2:] == ["--timezone=Asia/Tokyo", "d.csv", "--number", "x", "-o", "y"]
    assert words_of("index build -oy")[2:] == [*words[:3], "d.csv", "-oy"]


def test_file_that_no_option_needs_is_not_read(project):
    project("not TOML")
    assert words_of("count i a") == ["count", "i", "a"]
    with pytest.raises(ConfigError, match="bad-toml"):
        words_of("plan i a")


def test_nearest_file_above_the_working_folder_is_found(project, monkeypatch):
    project('catalog = "outer.toml"')
    project('catalog = "inner.toml"', "a/audience.toml")
    (Path("a/b/c")).mkdir(parents=True)
    monkeypatch.chdir("a/b/c")
    assert words_of("plan i a")[1] == "--catalog=../../inner.toml"
    assert words_of("plan i a --config ../../../audience.toml")[1] == "--catalog=../../../outer.toml"
    monkeypatch.setenv("AUDIENCE_CONFIG", "../../../audience.toml")
    assert words_of("plan i a")[1] == "--catalog=../../../outer.toml"
    assert words_of("plan i a --config=../../audience.toml")[1] == "--catalog=../../inner.toml"
    monkeypatch.setenv("AUDIENCE_CONFIG", "")
    assert words_of("plan i a") == ["plan", "i", "a"]


def test_file_may_begin_with_a_byte_order_mark_and_name_the_home_folder(project, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    project('\ufeffcatalog = "~/crm/c.toml"')
    assert words_of("plan i a")[1] == "--catalog=/home/me/crm/c.toml"


def test_link_to_a_file_that_is_gone_is_refused(project, monkeypatch):
    project('catalog = "outer.toml"')
    Path("a").mkdir()
    Path("a/audience.toml").symlink_to("gone.toml")
    monkeypatch.chdir("a")
    with pytest.raises(ConfigError, match=r"unreadable-file: audience\.toml: it links to gone\.toml"):
        find_project_file(None, {})


def test_file_that_anybody_can_write_is_refused(project, monkeypatch):
    project('catalog = "c.toml"').chmod(0o666)
    for named in (None, "audience.toml"):
        with pytest.raises(ConfigError, match="open-config"):
            find_project_file(named, {})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_file_of_another_user_is_used_only_if_it_is_named(project, monkeypatch):
    os.chown(project('catalog = "c.toml"'), 4711, -1)
    with pytest.raises(ConfigError, match=r"belongs to another user[\s\S]*--config audience.toml"):
        find_project_file(None, {})
    assert find_project_file("audience.toml", {}) == find_project_file(None, {"AUDIENCE_CONFIG": "audience.toml"})


def test_failing_command_says_which_values_came_from_the_file(audience, folder, tmp_path):
    config = tmp_path / "audience.toml"
    config.write_text('catalog = "no-such.toml"')
    config.chmod(0o644)
    code, _, err = audience("plan", "devices.index", "male", "--vendor", "tpns", "--config", str(config))
    assert code == 2
    assert f"note: from-config: from {config}: --catalog={tmp_path}/no-such.toml" in err
    code, _, err = audience("plan", "devices.index", "male", "--vendor", "none", "--catalog=x", f"--config={config}")
    assert (code, "from-config" in err) == (2, False)
    code, _, err = audience("plan", "--config", str(tmp_path / "none"), "devices.index", "male", "--vendor", "tpns")
    assert (code, "unreadable-file" in err) == (2, True)


def test_syncs_that_are_resumed_keep_their_host(project, folder):
    project('[vendors.tpns]\nhost = "shanghai"')
    assert len(words_of("resume requests")) == 3
    assert words_of(f"resume {folder}/devices.index") == ["resume", f"{folder}/devices.index"]


@pytest.mark.parametrize("path", sorted({*command_paths()} - OF_TYPER))
@given(data=st.data())
@settings(max_examples=scale_examples(3), deadline=None)
def test_given_options_are_those_that_typer_finds(path, data):
    parameters = registry.read_parameters(registry.load_function(path))
    names = [name for each in parameters for name in each.annotation.__metadata__[0].names if name.startswith("-")]
    word = st.sampled_from([*WORDS, *names]) | st.builds("{}={}".format, st.sampled_from(names), st.sampled_from(WORDS))
    words = [*COMMANDS[path], *data.draw(st.lists(word, max_size=6))]
    values, _ = read_with_typer(words)
    found = read_given(parameters, words[len(COMMANDS[path]) :])
    for parameter in parameters if values else ():
        assert values is not None
        if isinstance(parameter.annotation.__metadata__[0], Option) and parameter.name not in found.options:
            assert values[parameter.name] == parameter.default, parameter.name


def test_build_writes_a_project_file_that_repeats_it(audience, folder, tmp_path):
    config = tmp_path / "sub" / "audience.toml"
    config.parent.mkdir()
    pl.DataFrame({"who": ["a", "b"], "t": ["x;y", "z"], "n": ["1", "2"]}).write_csv(folder / "few.csv")
    words = ["--token=tpns=who", "--split", "t=;", "--number=n", "--timezone", "Asia/Tokyo", "--on-bad-row=reject"]
    words += ["--rejects", str(tmp_path / "bad.csv")]
    assert audience("index", "build", "few.csv", "-o", "few.index", *words, "--save-config", str(config))[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        file = parse_project_file(Path("sub/audience.toml"), config.read_text("utf-8"))
        assert Path(file.locations["index"]).resolve() == (folder / "few.index").resolve()
        added = add_defaults(["index", "build", "--config=sub/audience.toml"]).words[2:-3]
    assert added == ["--token=tpns=who", "--number=n", "--split=t=;", "--on-bad-row=reject",
                     "--rejects=sub/../bad.csv", "--timezone=Asia/Tokyo"]  # fmt: skip
    assert config.stat().st_mode & 0o777 == 0o644
    code, _, err = audience("index", "build", "few.csv", "-o", "new.index", *words, "--save-config", str(config))
    assert (code, err.startswith("exists"), (folder / "new.index").exists()) == (2, True, False)
    url = "postgresql://me:hidden@db/crm"
    code, _, err = audience("index", "build", url, "--query=TABLE d", "-o", "new.index", "--save-config", "new.toml")
    assert (code, "secret-in-config" in err, "hidden" in err) == (2, True, False)
    assert not (folder / "new.toml").exists()


SAMPLES = {str: "a b", list: ["a", "b=c"], bool: True, int: 3, float: 2.5}


@pytest.mark.parametrize("key", list_section_options("devices"))
def test_every_option_of_a_build_is_saved_and_comes_back(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    option = list_section_options("devices")[key]
    is_path = "Path" in str(option.annotation.__origin__)
    value = Path("x") if is_path else SAMPLES[value_type(option)]
    text = draft_project_file(Path("audience.toml"), Path("i"), ["d.csv"], {key: value}).decode()
    section = parse_project_file(Path("audience.toml"), text).devices
    texts = value if isinstance(value, list) else [value]
    assert make_section_words(section, "devices") == [
        f"--{key}" if each is True else f"--{key}={each}" for each in texts
    ]


def test_documented_keys_are_those_of_the_code():
    page = (Path(__file__).parents[1] / "docs" / "project-file.md").read_text("utf-8")
    [example] = re.findall(r"```toml\n(# audience.toml\n.*?)```", page, re.DOTALL)
    file = parse_project_file(Path("audience.toml"), example)
    assert set(file.locations) == {"index", "catalog", "credentials", "runs", "segments", "push"}
    assert file.devices and file.update and file.events and file.hosts and file.syncs

"""Files of keys, and the commands that change them."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest

from audience.cli.app import run
from audience.errors import ServiceError
from audience.server.access import Access
from audience.server.keys import KeyRing, add_key, drop_key, read_keys


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys" / "keys.json"


def run_command(capsys, *words) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as exit_:
        run([*map(str, words)])
    output = capsys.readouterr()
    return int(exit_.value.code or 0), output.out, output.err


def test_a_token_is_printed_once_and_kept_as_its_digest(path, capsys):
    code, token, notes = run_command(capsys, "keys", "add", "analyst", "--scope", "count", "--keys", path)
    assert (code, len(token.strip()) > 43) == (0, True)
    assert token.strip() not in notes
    stored = json.loads(path.read_text())["keys"][0]
    assert stored["sha256"] == sha256(token.strip().encode()).hexdigest()
    assert token.strip() not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_are_listed_and_dropped(path, capsys):
    tokens = {run_command(capsys, "keys", "add", name, "--scope", "ids,count", "--keys", path)[1] for name in "ab"}
    assert len(tokens) == 2
    code, listed, _ = run_command(capsys, "keys", "list", "--keys", path, "--json")
    assert [(key["name"], key["scopes"]) for key in json.loads(listed)] == [
        ("a", ["count", "ids"]),
        ("b", ["count", "ids"]),
    ]
    assert run_command(capsys, "keys", "drop", "a", "--keys", path)[0] == 0
    assert [key.name for key in read_keys(path)] == ["b"]
    code, _, error = run_command(capsys, "keys", "drop", "a", "--keys", path)
    assert (code, error.partition(":")[0]) == (2, "no-such-key")


def test_the_file_of_the_user_is_the_default(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert run_command(capsys, "keys", "add", "a", "--scope", "write")[0] == 0
    assert [key.name for key in read_keys(tmp_path / "audience" / "keys.json")] == ["a"]


@pytest.mark.parametrize(
    ("name", "scopes", "code"),
    [
        ("a b", ["count"], "bad-key-name"),
        ("", ["count"], "bad-key-name"),
        ("a", ["cont"], "unknown-scope"),
        ("a", [], "no-scope"),
        ("a", [","], "no-scope"),
        ("taken", ["count"], "exists"),
    ],
)
def test_keys_that_cannot_be_are_refused(name, scopes, code, path):
    add_key(path, "taken", ["count"])
    with pytest.raises(ServiceError) as error:
        add_key(path, name, scopes)
    assert error.value.code == code
    assert [key.name for key in read_keys(path)] == ["taken"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"keys": 5}',
        '{"keys": [{}]}',
        '{"keys": [{"name": "a", "sha256": "0", "created": "", "scopes": ["count"]}]}',
        '{"keys": [{"name": "a", "sha256": "%s", "created": "", "scopes": ["root"]}]}' % ("0" * 64),
    ],
)
def test_a_damaged_file_is_refused(content, path):
    add_key(path, "a", ["count"])
    path.write_text(content)
    with pytest.raises(ServiceError) as error:
        read_keys(path)
    assert error.value.code == "damaged-keys"
    assert KeyRing(path).problem == error.value.problems[0]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_file_that_others_may_read_is_refused(mode, path):
    add_key(path, "a", ["count"])
    path.chmod(mode)
    for change in (read_keys, lambda path: add_key(path, "b", ["count"]), lambda path: drop_key(path, "a")):
        with pytest.raises(ServiceError) as error:
            change(path)
        assert error.value.code == "open-keys"


def test_keys_that_are_made_at_once_are_all_kept(path):
    with ThreadPoolExecutor(8) as threads:
        tokens = list(threads.map(lambda number: add_key(path, f"key{number}", ["count"]), range(16)))
    ring = KeyRing(path)
    assert {ring.find_caller(token).name for token in tokens} == {f"key{number}" for number in range(16)}
    assert ring.find_caller(tokens[0] + "x") is None


def test_the_word_bearer_is_not_case_sensitive(path):
    token = add_key(path, "a", ["count"])
    caller = Access(KeyRing(path), ()).authorize({b"authorization": b"BEARER  " + token.encode()}, "count")
    assert caller.name == "a"

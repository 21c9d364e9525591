"""Files with ids, messages or keys: nobody but their owner reads them, or could have changed them."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from service import build_index, make_table, run_serve

from audience import DeliveryError
from audience._fs.atomic import atomic_folder, atomic_new_file, atomic_replaced_file, atomic_write, write_new_file
from audience._fs.locks import try_lock
from audience._fs.private_files import PUBLIC_FILE_MODE, NotPrivateError, create_file, read_private_file
from audience.delivery.transport.credentials import load_credentials
from audience.sandbox import Population, Sandbox
from audience.server.keys import add_key, read_keys
from audience.testing.fake_vendor import make_delivery

UMASKS = [0o000, 0o022, 0o077, 0o277]
DEVICES = 60
CREDENTIALS = '[engagelab]\napp_key = "k"\nmaster_secret = "very-secret"\n'
# Everything of the project that writes ids, messages, or attributes of people. OPEN is the folder of the test.
COMMANDS = """
index build devices.parquet -o new/dir/devices.index --rejects rejects.csv
index update new/dir/devices.index devices.parquet
index tag new/dir/devices.index t1 t2 --add vip
events add new/dir/devices.index events.csv --event purchase
segment save new/dir/devices.index men male
segment save new/dir/devices.index staff --ids staff.txt
policy set new/dir/devices.index staff --suppress staff.txt
index compact new/dir/devices.index
index remove new/dir/devices.index t9
index backup new/dir/devices.index -o copy.index
emit new/dir/devices.index male --vendor engagelab -o runs/one
emit new/dir/devices.index "male OR female" --vendor engagelab -o runs/one --replace
campaign new/dir/devices.index male --vendors engagelab -o runs/two
send runs/one --message message.json --max-devices 99 --credentials keys.toml --host URL --record new/dir/devices.index
send runs/two --message message.json --max-devices 99 --credentials keys.toml --host URL
resume runs/one --credentials keys.toml --host URL
cancel runs/one
delivered runs/one -o delivered.csv
delivered runs/one -o delivered.parquet
export new/dir/devices.index male -o export.csv
export new/dir/devices.index male -o export.parquet
export new/dir/devices.index male -o export.parquet --replace
forget t2 --index new/dir/devices.index --runs runs
index build devices.parquet -o new/dir/devices.index --replace
"""
OPEN_FILES = {"devices.parquet", "events.csv", "staff.txt", "message.json", "log", "ready"}  # written by the tests


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Folder with the files that commands read, as the current one."""
    monkeypatch.chdir(tmp_path)
    make_table(DEVICES).write_parquet("devices.parquet")
    Path("events.csv").write_text("token,at\nt1,2026-11-01T09:00:00Z\nt2,2026-11-02T09:00:00Z\n")
    Path("staff.txt").write_text("t1\nt2\n")
    Path("message.json").write_text('{"title": "Hi", "body": "Now"}')
    create_file(Path("keys.toml")).close()
    Path("keys.toml").write_text(CREDENTIALS)
    return tmp_path


def run_commands(url: str) -> None:
    for line in COMMANDS.strip().splitlines():
        command = [sys.executable, "-m", "audience", *split_words(line.replace("URL", url))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, umask=0)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def split_words(line: str) -> list[str]:
    quoted = line.split('"')
    return [word for at, text in enumerate(quoted) for word in ([text] if at % 2 else text.split())]


def find_readable(folder: Path) -> list[str]:
    """Files and folders below *folder* that others can read, with their modes."""
    wanted = {False: 0o600, True: 0o700}
    entries = [entry for entry in folder.rglob("*") if entry.name not in OPEN_FILES and not entry.is_symlink()]
    assert entries
    modes = {entry: stat.S_IMODE(entry.stat().st_mode) for entry in entries}
    return [f"{entry.relative_to(folder)} {mode:o}" for entry, mode in modes.items() if mode != wanted[entry.is_dir()]]


def test_commands_leave_private_files(home):
    (home / "runs").mkdir(0o700)
    with Sandbox(Population(make_table(DEVICES)), rate=None) as sandbox:
        run_commands(sandbox.url)
    assert find_readable(home) == []


def test_service_leaves_private_files(home):
    index, runs, token = (
        build_index(home, DEVICES),
        home / "runs",
        add_key(home / "keys", "boss", ["count", "write", "send"]),
    )
    runs.mkdir(0o700)
    with Sandbox(Population(make_table(DEVICES)), rate=None) as sandbox:
        options = ["--keys", "keys", "--runs", "runs", "--credentials", "keys.toml", "--vendor-host", sandbox.url]
        headers = {"Authorization": f"Bearer {token}"}
        with (
            run_serve(index, *options, folder=home) as service,
            httpx.Client(base_url=service.url, headers=headers, timeout=60) as client,
        ):
            body = {"name": "spring", "expr": "male", "vendor": "engagelab", "message": {"title": "Hi", "body": "Now"}}
            devices = client.post("/v1/indexes/devices/runs", json=body).json()["dry_run"]["devices"]
            assert client.post("/v1/runs/spring/send", json={"devices": devices}).status_code == 202
            while client.get("/v1/runs/spring").json()["state"] not in ("done", "failed"):
                time.sleep(0.1)
    assert (runs / "spring" / "ledger.sqlite").exists()
    assert find_readable(home) == []


WRITERS = {
    "write_new_file": lambda file: write_new_file(file, b"r1"),
    "atomic_write": lambda file: atomic_write(file, b"r1"),
    "atomic_new_file": lambda file: _write_in(atomic_new_file(file)),
    "atomic_replaced_file": lambda file: _write_in(atomic_replaced_file(file)),
    "try_lock": lambda file: _enter(try_lock(file)),
}


def _write_in(context):
    with context as draft:
        draft.write_bytes(b"r1")


def _enter(context):
    with context:
        pass


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
@pytest.mark.parametrize("name", WRITERS)
def test_written_file_is_private(tmp_path, name, umask):
    with masked(umask):
        WRITERS[name](tmp_path / "ids")
    assert f"{stat.S_IMODE((tmp_path / 'ids').stat().st_mode) & ~0o400 | 0o400:o}" == "600"


@pytest.mark.parametrize("umask", UMASKS[:3], ids=oct)
def test_written_folder_is_private_whatever_is_written_to_it(tmp_path, umask):
    with masked(umask), atomic_folder(tmp_path / "new" / "run", owned_patterns=frozenset()) as draft:
        (draft / "vendor").mkdir()
        (draft / "vendor" / "requests").write_text("r1")
    assert find_readable(tmp_path) == []


def test_public_file_has_what_the_umask_leaves(tmp_path):
    with masked(0o027):
        write_new_file(tmp_path / "catalog.toml", b"", PUBLIC_FILE_MODE)
    assert stat.S_IMODE((tmp_path / "catalog.toml").stat().st_mode) == 0o640


class masked:
    """Context with a umask."""

    def __init__(self, umask: int):
        self.umask = umask

    def __enter__(self) -> None:
        self.umask = os.umask(self.umask)

    def __exit__(self, *error: object) -> None:
        os.umask(self.umask)


@pytest.mark.parametrize("name", ["atomic_write", "write_new_file", "atomic_replaced_file"])
def test_planted_links_are_not_followed(tmp_path, name):
    (tmp_path / "victim").write_text("mine")
    for link in (".ids.tmp", "ids"):
        (tmp_path / link).symlink_to("victim")
    try:
        WRITERS[name](tmp_path / "ids")
    except Exception as error:  # noqa: BLE001
        assert "exists" in str(error)
    assert (tmp_path / "victim").read_text() == "mine"


# Files of keys. -------------------------------------------------------------------------------------------------------


def _link_to(make):
    """Maker of a link to what *make* makes beside it."""

    def make_link(path):
        make(path.with_name("target"))
        path.symlink_to("target")

    return make_link


def _write_with(mode):
    def write(path):
        path.write_text(CREDENTIALS)
        path.chmod(mode)

    return write


def _write_of_another(path):
    path.touch(0o600)
    path.write_text(CREDENTIALS)
    try:
        os.chown(path, 65_534, 65_534)
    except PermissionError:
        pytest.skip("only root gives files away")


NOT_PRIVATE = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to a pipe": _link_to(os.mkfifo),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to a folder": _link_to(Path.mkdir),
    "of another owner": _write_of_another,
    "a link to a file of another owner": _link_to(_write_of_another),
    "readable by a group": _write_with(0o640),
    "writable by others": _write_with(0o602),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", NOT_PRIVATE)
def test_file_of_keys_that_is_not_private_is_refused(tmp_path, kind):
    file = tmp_path / "keys"
    NOT_PRIVATE[kind](file)
    with pytest.raises(NotPrivateError):
        read_private_file(file)
    with pytest.raises(DeliveryError) as refused:
        load_credentials("fake", make_delivery(), file=file, environment={})
    assert [refused.value.code, refused.value.problems[0].hint is None] == ["open-credentials", False]
    with pytest.raises(Exception, match="open-keys"):
        read_keys(file)


def test_link_to_a_private_file_is_read(tmp_path):
    write_new_file(tmp_path / "real", CREDENTIALS.encode())
    (tmp_path / "keys").symlink_to("real")
    assert read_private_file(tmp_path / "keys") == CREDENTIALS.encode()

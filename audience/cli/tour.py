"""A tour of the commands on generated devices."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from audience.testing.devices import changes, devices

WALK = (
    ("How many are meant?", ["count", "INDEX", "EXPR"]),
    ("Why so many?", ["explain", "INDEX", "EXPR"]),
    ("Can TPNS say it in one request?", ["translate", "--from", "text", "--to", "tpns", "EXPR"]),
    ("Can EngageLab? It has no typed tags, and no ranges.", ["explain", "INDEX", "EXPR", "--vendor", "engagelab"]),
    (
        "Then it is sent by ids: bodies of 1,000, ready to post.",
        ["emit", "INDEX", "EXPR", "--vendor", "engagelab", "-o", "OUT"],
    ),
    (
        "A message goes to them; a sandbox on this machine stands in for the vendor.",
        ["send", "OUT", "--message", "MESSAGE", "--max-devices", "MOST", "--host", "URL", "--credentials", "KEYS"],
    ),
    ("From one vendor to another:", ["translate", "--from", "engagelab", "--to", "emas", "PAYLOAD"]),
    ("An audience gets a name,", ["segment", "save", "INDEX", "south", "EXPR"]),
    ("and two texts are tested on it.", ["explain", "INDEX", "TEST", "--vendor", "engagelab"]),
    ("Twenty devices have a new version: the index is brought up to date.", ["index", "update", "INDEX", "CHANGES"]),
    ("Every change is a snapshot, which can be restored.", ["index", "history", "INDEX"]),
)
EXPR = "male AND (province:guangdong OR province:hunan) AND NOT version:1.0.2"
TEST = "@south AND split(a:45%, b:45%, summer)"
MESSAGE = '{"title": "Hello", "body": "from the demo"}'
KEYS = '[engagelab]\napp_key = "demo"\nmaster_secret = "any"\n'
PAYLOAD = '{"to": {"tag": ["Shenzhen", "Guangzhou"], "tag_and": ["female", "members"]}}'


def walk(
    run: Callable[[list[str]], None],
    sandbox: Callable[[pl.DataFrame], AbstractContextManager[str]],
    say: Callable[[str], None],
    count: int,
    json: bool,
) -> None:
    """Build an index of *count* generated devices in a folder that is removed at the end, and *run* each command.

    *sandbox* gives the URL of vendors that know these devices.
    """
    table = devices(count)
    with TemporaryDirectory(prefix="audience-demo-") as name, sandbox(table) as url:
        folder = Path(name)
        words = {"INDEX": "devices.index", "EXPR": EXPR, "OUT": "requests", "PAYLOAD": PAYLOAD}
        words |= {"TEST": TEST, "CHANGES": "changes.parquet"}
        words |= {"MESSAGE": "message.json", "KEYS": "keys.toml", "URL": url, "MOST": str(count)}
        (folder / "message.json").write_text(MESSAGE, "utf-8")
        (folder / "keys.toml").touch(mode=0o600)
        (folder / "keys.toml").write_text(KEYS, "utf-8")
        table.write_parquet(folder / "devices.parquet")
        changes(table).write_parquet(folder / "changes.parquet")
        first = (
            f"An index of {count:,} generated devices:",
            ["index", "build", "devices.parquet", "-o", "devices.index"],
        )
        for title, command in (first, *WALK):
            arguments = [words.get(word, word) for word in command]
            say(f"\n# {title}\n$ audience {' '.join(_quoted(word) for word in arguments)}")
            run([*(str(folder / word) if word in PATHS else word for word in arguments), *(["--json"] if json else [])])


PATHS = ("devices.parquet", "changes.parquet", "devices.index", "requests", "message.json", "keys.toml")


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word else word

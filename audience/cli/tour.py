"""A tour of the commands on generated devices."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from audience.testing.devices import generate_devices, generate_updates

TOUR_STEPS = (
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
TEST_EXPR = "@south AND split(a:45%, b:45%, summer)"
MESSAGE = '{"title": "Hello", "body": "from the demo"}'
CREDENTIALS_TOML = '[engagelab]\napp_key = "demo"\nmaster_secret = "any"\n'
PAYLOAD = '{"to": {"tag": ["Shenzhen", "Guangzhou"], "tag_and": ["female", "members"]}}'


def run_tour(
    run_command: Callable[[list[str]], None],
    open_sandbox: Callable[[pl.DataFrame], AbstractContextManager[str]],
    report: Callable[[str], None],
    count: int,
    as_json: bool,
) -> None:
    """Build an index of *count* generated devices in a folder that is removed at the end, and *run* each command.

    *sandbox* gives the URL of vendors that know these devices.
    """
    table = generate_devices(count)
    with TemporaryDirectory(prefix="audience-demo-") as name, open_sandbox(table) as url:
        folder = Path(name)
        words = {"INDEX": "devices.index", "EXPR": EXPR, "OUT": "requests", "PAYLOAD": PAYLOAD}
        words |= {"TEST": TEST_EXPR, "CHANGES": "changes.parquet"}
        words |= {"MESSAGE": "message.json", "KEYS": "keys.toml", "URL": url, "MOST": str(count)}
        (folder / "message.json").write_text(MESSAGE, "utf-8")
        (folder / "keys.toml").touch(mode=0o600)
        (folder / "keys.toml").write_text(CREDENTIALS_TOML, "utf-8")
        table.write_parquet(folder / "devices.parquet")
        generate_updates(table).write_parquet(folder / "changes.parquet")
        first = (
            f"An index of {count:,} generated devices:",
            ["index", "build", "devices.parquet", "-o", "devices.index"],
        )
        for title, command in (first, *TOUR_STEPS):
            arguments = [words.get(word, word) for word in command]
            report(f"\n# {title}\n$ audience {' '.join(_quote_argument(word) for word in arguments)}")
            run_command(
                [
                    *(str(folder / word) if word in TOUR_FILES else word for word in arguments),
                    *(["--json"] if as_json else []),
                ]
            )


TOUR_FILES = ("devices.parquet", "changes.parquet", "devices.index", "requests", "message.json", "keys.toml")


def _quote_argument(argument: str) -> str:
    return f"'{argument}'" if " " in argument else argument

"""Generated devices, and a walk through everything on them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

PROVINCES = ["guangdong", "hunan", "shanghai", "beijing", "sichuan", "zhejiang", "jiangsu", "henan", "四川", "云南"]
VERSIONS = ["1.0.0", "1.0.1", "1.0.2", "1.1.0", "1.2.0", "1.2.0.1", "1.10.0", "2.0.0"]
BRANDS = ["huawei", "Mi", "vivo", "oppo", "honor", "samsung", "apple"]
LANGUAGES = ["zh", "en", "ja", "ko", "de"]
SEXES = ["male", "female"]
TAGS = [f"t{number:03}" for number in range(160)]


def devices(count: int, seed: int = 42, first: int = 0) -> pl.DataFrame:
    """*count* devices: an id of 36 characters, six typed attributes, five tags; the same for the same *seed*.

    An id ends in the number of its device, from *first* on.

    >>> table = devices(1_000)
    >>> table.width, table["registration_id"].str.len_chars().max(), table["tags"].list.len().min()
    (8, 36, 5)
    """
    random = np.random.default_rng(seed)
    day = np.datetime64("2020-04-08") - np.minimum(random.exponential(12, count), 90).astype("timedelta64[D]")
    return pl.DataFrame(
        {
            "registration_id": _ids(first, count),
            "province": _picked(random, PROVINCES, count),
            "version": _picked(random, VERSIONS, count),
            "brand": _picked(random, BRANDS, count),
            "language": _picked(random, LANGUAGES, count),
            "age": random.integers(14, 80, count, dtype=np.int32),
            "active": day,
            "tags": _tags(random, count),
        }
    )


def changes(table: pl.DataFrame) -> pl.DataFrame:
    """The first twenty devices of *table*, with a new version."""
    return table.head(20).select("registration_id", version=pl.lit("2.1.0"))


def _ids(first: int, count: int) -> pl.Series:
    row = pl.int_range(first, first + count, dtype=pl.UInt64)
    digits = row.hash(42).cast(pl.String).str.zfill(20)
    return pl.select(pl.concat_str(digits, row.cast(pl.String).str.zfill(15), separator="-")).to_series()


def _picked(random: np.random.Generator, names: list[str], count: int) -> pl.Series:
    """Each of *count* devices has one of *names*, the first ones more often."""
    weights = 1 / np.arange(1, len(names) + 1)
    places = random.choice(len(names), count, p=weights / weights.sum()).astype(np.uint32)
    return pl.Series(names, dtype=pl.String).gather(places)


def _tags(random: np.random.Generator, count: int) -> pl.Series:
    """One of the two sexes, and one tag out of each quarter of TAGS."""
    quarters = np.split(np.array(TAGS), 4)
    columns = [_picked(random, SEXES, count), *(_picked(random, list(quarter), count) for quarter in quarters)]
    return pl.select(pl.concat_list([pl.lit(column) for column in columns])).to_series()


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

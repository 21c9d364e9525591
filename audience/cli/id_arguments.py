"""The ids of devices that a command is given: as words, as lines of text, or as a column of a table."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from audience.cli.streams import read_input
from audience.errors import Problem, TableError
from audience.index.ingest import cast
from audience.index.ingest.reader import readable
from audience.index.ingest.sources import FORMATS, named, scan
from audience.index.schema.column_roles import Roles, check_roles
from audience.index.schema.columns import ID_WORDS, Column
from audience.index.storage import id_search
from audience.index.storage.snapshot import Snapshot
from audience.vendors import vendors

STDIN = "-"
SHOWN = 5  # ids that a warning names


def given(words: Sequence[str], files: Sequence[str], column: str | None, known: Sequence[Column]) -> pl.Series:
    """The ids among *words* and in *files*, each once, in their order; *known* are the columns of the index.

    Raises TableError where none are named at all, and where a file cannot be read; a list may be empty.
    """
    if not words and not files:
        hint = "name them, or give a file: --ids FILE; - reads standard input"
        raise TableError(Problem("no-ids", "no ids were given", hint=hint))
    tables = [file for file in files if Path(file).suffix.lower() in FORMATS]
    if column is not None and not tables:
        hint = f"a table ends in {', '.join(FORMATS)}"
        raise TableError(Problem("bad-option", "--column says which column of a table holds the ids", hint=hint))
    found = [id_ for word in words for id_ in (_lines(word) if word == STDIN else [word])]
    found += [id_ for file in files if file not in tables for id_ in _lines(file)]
    texts = pl.Series("id", found, dtype=pl.String)
    columns = (_column(file, column, known) for file in tables if not _is_empty(file))
    return pl.concat([texts, *columns]).unique(maintain_order=True)


def _is_empty(file: str) -> bool:
    """Whether *file* holds nothing at all: a list of nobody, also where a table would have a head."""
    return Path(file).is_file() and not Path(file).stat().st_size


def _lines(file: str) -> Iterable[str]:
    """The ids in the text *file*, one a line; white space around them is none of theirs."""
    try:
        text = read_input("give the ids as arguments") if file == STDIN else Path(file).read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = f"one id a line, in UTF-8; a table ends in {', '.join(FORMATS)}"
        raise TableError(Problem("unreadable", f"{file}: {reason}", hint=hint)) from error
    lines = (line.strip() for line in text.removeprefix("\ufeff").split("\n"))
    return [line for line in lines if line]


def _column(file: str, column: str | None, known: Sequence[Column]) -> pl.Series:
    """The ids of the table in *file*."""
    roles = Roles(tokens={"registration_id": column}) if column else Roles(tokens={}, known=tuple(known))
    with readable():
        lazy, _ = scan(file, roles)
        schema = lazy.collect_schema()
        source = _source(schema, file, column, known)
        values = lazy.select(named(source)).collect().to_series()
    return cast.column(values, Column(source, "id", "id")).alias("id").drop_nulls()


def _source(schema: pl.Schema, file: str, column: str | None, known: Sequence[Column]) -> str:
    """The column of *schema* that holds ids: the one that is said, one of the index's, one that is named so."""
    if column is not None:
        check_roles(schema, Roles(tokens={"registration_id": column}), ())
        return column
    own = [each.source for each in known if each.role == "id"]
    words = [*own, *ID_WORDS, *(f"{vendor}_{word}" for vendor in vendors() for word in ID_WORDS)]
    for name in words:
        if name in schema:
            return name
    message = f"{file} has no column {' or '.join(dict.fromkeys([*own, *ID_WORDS]))}, but {', '.join(schema)}"
    hint = "say which holds the ids: --column NAME; a text of one id a line ends in .txt"
    raise TableError(Problem("no-id", message, hint=hint))


def unknown(ids: pl.Series, many: int, snapshot: Snapshot) -> list[Problem]:
    """A warning of the *many* ids that no device of *snapshot* has, with the first of them."""
    if not len(ids):
        return [Problem("no-ids", "the list of ids is empty")]
    if not many:
        return []
    names = [name for name in snapshot.ids if name.startswith("id:")]
    rows = [id_search.rows(shard, name, ids) for shard in snapshot.shards for name in names]
    found = pl.concat([pl.DataFrame(schema=id_search.FOUND), *rows])
    left = ids.to_frame("id").join(found, on="id", how="anti", maintain_order="left")["id"]
    shown = ", ".join(map(repr, left.head(SHOWN))) + (", …" if len(left) > SHOWN else "")
    return [Problem("no-device", f"{many:,} of {len(ids):,} ids are of no device: {shown}")]

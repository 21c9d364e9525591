"""Format of a folder of bitmaps.

    description.json     the columns of the table, the time zone, and the number of devices of each shard
    bitmaps.parquet      shard, column, attribute, value, devices, bitmap: the positions of the devices with a value
    bitmaps.bin          the same as states of ClickHouse, in its place
    devices.parquet      _shard, _position, the columns of ids, and those of attributes with too many values for bitmaps

The devices of a shard have the positions from 0 on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import orjson
import polars as pl

from audience.errors import Problem, TableError
from audience.index.schema.columns import SHARED_ID_ROLES, TEXT_ROLES, Column, Role
from audience.index.schema.value_types import VALUE_TYPES
from audience.language.zones import list_zone_names

BitmapFormat: TypeAlias = Literal["parquet", "clickhouse"]
BITMAP_FORMATS: tuple[BitmapFormat, ...] = get_args(BitmapFormat)
FORMAT_VERSION = 1
DESCRIPTION_FILE, DEVICES_FILE = "description.json", "devices.parquet"
BITMAPS_FILES: Mapping[BitmapFormat, str] = {"parquet": "bitmaps.parquet", "clickhouse": "bitmaps.bin"}
SHARD, POSITION = "_shard", "_position"
BITMAP_SCHEMA = pl.Schema(
    {
        "shard": pl.UInt32(),
        "column": pl.String(),
        "attribute": pl.String(),
        "value": pl.String(),
        "devices": pl.UInt32(),
        "bitmap": pl.Binary(),
    }
)
ROLES: tuple[Role, ...] = ("id", *SHARED_ID_ROLES, *TEXT_ROLES, "number", "date", "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedColumn:
    """Column of the table, as a folder of bitmaps describes it.

    Attributes:
        name: Name in the table.
        role: Its role.
        attribute: Name in expressions; of ids of devices, the vendor or the generic name.
        type: Type of its values, as shards store it; `Boolean` for flags.
        is_list: Whether a device may have several values.
        has_bitmaps: Whether its values are in the bitmaps, and not in the file of devices.
        separator: Separator between the tags of a text in the table.
        has_cut_moments: Whether its days were cut from moments.
    """

    name: str
    role: Role
    attribute: str
    type: str = "String"
    is_list: bool = False
    has_bitmaps: bool = False
    separator: str | None = None
    has_cut_moments: bool = False

    @property
    def column(self) -> Column:
        """Return the column of an index."""
        return Column(self.name, self.role, self.attribute, self.separator, self.has_cut_moments)


@dataclass(frozen=True, slots=True)
class BitmapFolder:
    """Content of `description.json`."""

    bitmaps: BitmapFormat
    timezone: str
    devices: Sequence[int]
    columns: Sequence[CarriedColumn]


def write_description(folder: Path, content: BitmapFolder) -> None:
    """Write `description.json`."""
    data = orjson.dumps({"format": FORMAT_VERSION, **asdict(content)}, option=orjson.OPT_INDENT_2)
    (folder / DESCRIPTION_FILE).write_bytes(data)


def read_description(folder: Path) -> BitmapFolder:
    """Return the content of `description.json`.

    Raises:
        TableError: It is missing, or not as `write_description` writes it.
    """
    file = folder / DESCRIPTION_FILE
    try:
        fields = orjson.loads(file.read_bytes())
    except OSError as error:
        raise unreadable_bitmaps(file, error) from None
    except orjson.JSONDecodeError as error:
        raise bad_bitmaps(f"{file} is not JSON: {error}") from None
    try:
        found = fields.pop("format")
        if found != FORMAT_VERSION:
            raise ValueError(f"expected format {FORMAT_VERSION}, found {found!r:.40}")
        columns = [CarriedColumn(**column) for column in fields.pop("columns")]
        content = BitmapFolder(**fields, columns=columns)
        _require_valid(content)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise bad_bitmaps(f"{file} is not the description of a folder of bitmaps: {error}") from None
    return content


def _require_valid(content: BitmapFolder) -> None:
    """Raise ValueError for what no index has."""
    if content.bitmaps not in BITMAP_FORMATS:
        raise ValueError(f"unknown format of bitmaps {content.bitmaps!r:.40}")
    if content.timezone not in (*list_zone_names(), "UTC"):
        raise ValueError(f"unknown time zone {content.timezone!r:.40}")
    if not all(isinstance(count, int) and 0 <= count < 1 << 32 for count in content.devices):
        raise ValueError("the numbers of devices are not those of shards")
    names = [column.name for column in content.columns]
    if len({*names}) < len(names):
        raise ValueError("two columns have one name")
    for column in content.columns:
        _require_valid_column(column)


def _require_valid_column(column: CarriedColumn) -> None:
    texts = (column.name, column.attribute, column.type)
    if not all(isinstance(text, str) and text for text in texts) or column.role not in ROLES:
        raise ValueError(f"column {column.name!r:.60} has no name or no role")
    if not all(isinstance(flag, bool) for flag in (column.is_list, column.has_bitmaps, column.has_cut_moments)):
        raise ValueError(f"column {column.name!r:.60}: true or false was expected")
    if column.role in VALUE_TYPES or column.role == "tags":
        column_dtype(column)
    elif column.has_bitmaps:
        raise ValueError(f"column {column.name!r:.60} has ids, which are in the file of devices")


def column_dtype(column: CarriedColumn) -> pl.DataType:
    """Return the type of single values of *column*; raise ValueError if there is none."""
    kinds: dict[str, pl.DataType] = {"Int64": pl.Int64(), "Float64": pl.Float64(), "Date": pl.Date()}
    kinds |= {"String": pl.String(), "Boolean": pl.Boolean(), "Datetime": pl.Datetime("us")}
    name, _, scale = column.type.partition(":")
    if name == "Decimal" and scale.isdecimal() and int(scale) <= 38:
        return pl.Decimal(38, int(scale))
    if column.type not in kinds:
        raise ValueError(f"unknown type {column.type!r:.40} of column {column.name!r:.60}")
    return kinds[column.type]


def devices_schema(columns: Sequence[CarriedColumn]) -> pl.Schema:
    """Return the columns of the file of devices."""
    places: dict[str, pl.DataType] = {SHARD: pl.UInt32(), POSITION: pl.UInt32()}
    return pl.Schema(places | {column.name: values_dtype(column) for column in columns if not column.has_bitmaps})


def values_dtype(column: CarriedColumn) -> pl.DataType:
    """Return the type of the values of *column*: that of a table from which an index has them again."""
    dtype = column_dtype(column)
    if column.role == "time":
        dtype = pl.Datetime("us", "UTC")
    return pl.List(dtype) if column.is_list else dtype


def bad_bitmaps(message: str, hint: str | None = None) -> TableError:
    """Return the error for a folder that cannot be imported."""
    return TableError(Problem("bad-bitmaps", message, hint=hint))


def unreadable_bitmaps(file: Path, error: BaseException) -> TableError:
    """Return the error for a file of a folder of bitmaps that is missing or cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).strip().partition("\n")[0]
    reason = "the file is missing" if isinstance(error, FileNotFoundError) else reason
    hint = f"name a folder with {DESCRIPTION_FILE}, as `audience index export-bitmaps` writes it"
    return bad_bitmaps(f"{file}: {reason}", hint if isinstance(error, OSError) else None)


def bitmap_frame(rows: Mapping[str, Any]) -> pl.DataFrame:
    """Return rows of the file of bitmaps."""
    return pl.DataFrame(rows, schema=BITMAP_SCHEMA)

"""Tables of Delta and Iceberg, each read as one snapshot of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from audience.errors import Problem, TableError
from audience.index.ingest.locations.location_names import OBJECT_SCHEMES, TABLE_SCHEMES

DELTA_LOG = "_delta_log"
ICEBERG_PROPERTIES = {
    "aws_endpoint_url": "s3.endpoint",
    "aws_access_key_id": "s3.access-key-id",
    "aws_secret_access_key": "s3.secret-access-key",
    "aws_session_token": "s3.session-token",
    "aws_region": "s3.region",
}


def find_table_format(name: str) -> tuple[str, str] | None:
    """Return the format and the place of the table *name*; None if it has another format.

    >>> find_table_format("delta:s3://bucket/devices"), find_table_format("devices.parquet")
    (('delta', 's3://bucket/devices'), None)
    """
    prefix, colon, place = name.partition(":")
    if colon and prefix in TABLE_SCHEMES:
        return prefix, place
    if name.endswith(".metadata.json"):
        return "iceberg", name
    if (Path(name) / DELTA_LOG).is_dir():
        return "delta", name
    if any(Path(name, "metadata").glob("*.metadata.json")):
        return "iceberg", name
    return None


def scan_table(table_format: str, place: str) -> pl.LazyFrame:
    """Return the current snapshot of a table.

    Args:
        table_format: Delta or Iceberg.
        place: Path or URL of the table; of Iceberg also a metadata file, or a table of a catalog as
            catalog.namespace.table.

    Raises:
        TableError: There is none, it cannot be read, or its package is not installed.
    """
    with _wrap_errors(table_format, place):
        return _scan_delta(place) if table_format == "delta" else _scan_iceberg(place)


def _scan_delta(place: str) -> pl.LazyFrame:
    deltalake = _import("deltalake", "delta")
    if not _is_url(place) and not Path(place, DELTA_LOG).is_dir():
        raise TableError(Problem("no-file", f"there is no table of Delta at {place}", hint=f"it has a {DELTA_LOG}"))
    options = _find_options(place)
    return pl.scan_delta(deltalake.DeltaTable(place, storage_options=options), storage_options=options or None)


def _scan_iceberg(place: str) -> pl.LazyFrame:
    _import("pyiceberg", "iceberg")
    table = _open_iceberg(place)
    return pl.scan_iceberg(_freeze(table), storage_options=_find_options(place) or None)


def _freeze(table: Any) -> Any:
    """Return an Iceberg table as it is now, whatever is committed while it is read.

    The number of its snapshot would not do: that is read with the columns that it was written with, not with those
    that were renamed, added or removed since.
    """
    from pyiceberg.table import StaticTable

    if isinstance(table, StaticTable):
        return table
    return StaticTable.from_metadata(table.metadata_location, table.io.properties)


def _open_iceberg(place: str) -> Any:
    """Return the table that a metadata file, a folder with a hint at one, or a catalog names."""
    from pyiceberg.catalog import load_catalog
    from pyiceberg.table import StaticTable

    path = Path(place.removeprefix("file://"))
    if not _is_url(place) and not path.exists():
        catalog, _, name = place.partition(".")
        if not name or "/" in place:
            hint = "write iceberg:CATALOG.NAMESPACE.TABLE, a folder, or a file ….metadata.json"
            raise TableError(Problem("no-file", f"there is no table of Iceberg at {place}", hint=hint))
        return load_catalog(catalog).load_table(name)
    if path.is_dir() and not (path / "metadata" / "version-hint.text").is_file():
        newest = max((path / "metadata").glob("*.metadata.json"), default=path / "metadata" / "….metadata.json")
        message = f"{place}: only a catalog knows which metadata of this table of Iceberg is current"
        hint = f"write iceberg:CATALOG.NAMESPACE.TABLE, or name a metadata file, as {newest}"
        raise TableError(Problem("no-current-metadata", message, hint=hint))
    properties = {
        ICEBERG_PROPERTIES[name]: value for name, value in _find_options(place).items() if name in ICEBERG_PROPERTIES
    }
    return StaticTable.from_metadata(place, properties)


def _find_options(place: str) -> dict[str, str]:
    """Return the options by which the object store of *place* is read; none for a path."""
    if not _is_url(place):
        return {}
    from audience.index.ingest.locations.object_files import storage_options  # loads slowly, and paths do not need it

    return storage_options(place)


def _is_url(place: str) -> bool:
    return place.partition("://")[0] in OBJECT_SCHEMES


def _import(package: str, extra: str) -> Any:
    try:
        return __import__(package)
    except ImportError:
        hint = f"pip install 'audience[{extra}]'"
        problem = Problem("no-extra", f"tables of {extra.title()} need the package {package}", hint=hint)
        raise TableError(problem) from None


@contextmanager
def _wrap_errors(table_format: str, place: str) -> Iterator[None]:
    """Raise TableError for errors of a package, without what it repeats of the environment."""
    try:
        yield
    except TableError:
        raise
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        if package not in ("deltalake", "_internal", "pyiceberg", "polars") and not isinstance(
            error, OSError | ValueError
        ):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            reason = reason.replace(os.environ.get(name) or "\0", "***")
        message = f"{place} cannot be read as a table of {table_format.title()}: {reason}"
        raise TableError(Problem("unreadable", message, hint="check its place, and the credentials")) from None

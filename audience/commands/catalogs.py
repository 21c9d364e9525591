"""The catalog that a command is given."""

from pathlib import Path

from audience.catalog.attributes import Catalog
from audience.catalog.check import load_catalog


def catalog_of(file: Path | None) -> Catalog | None:
    """The catalog in *file*, if one is named."""
    return None if file is None else load_catalog(file)

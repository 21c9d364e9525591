"""An index → the first draft of a catalog: what its columns show, for the user to confirm."""

import tomlkit
from tomlkit.items import Table

from audience.index.device_index import DeviceIndex
from audience.index.query.attribute_stats import AttributeStats
from audience.language.attribute_names import UNTYPED

MAX_CLOSED_VALUES = 200  # an attribute with more is not taken for a closed one
ORDERED_TYPES = ("number", "date", "version")


def draft_catalog(index: DeviceIndex) -> str:
    """A catalog as TOML: each attribute with the values, the facts and the order that the index shows.

    What holds for the devices of today need not hold for those of tomorrow, so each fact is to be confirmed.
    """
    document = tomlkit.document()
    document.add(tomlkit.comment(f"Drafted from {len(index):,} devices: confirm each line, it is believed."))
    for attribute in index.attributes.values():
        if attribute.name != UNTYPED:
            document.add(attribute.name, _build_table(index, attribute))
    return tomlkit.dumps(document)


def _build_table(index: DeviceIndex, attribute: AttributeStats) -> Table:
    table = tomlkit.table()
    few = attribute.distinct_count <= MAX_CLOSED_VALUES
    if few:
        table.add("values", attribute.values.to_list())
    if attribute.is_single_valued:
        table.add("exclusive", True)
        if few and attribute.count_by_value()["devices"].sum() == len(index) > 0:
            table.add("exhaustive", True)
    if attribute.role in ORDERED_TYPES:
        table.add("order", attribute.role)
    table.add(tomlkit.comment('names.engagelab = "{type}_{value}"'))
    table.add(tomlkit.comment('names.emas = "{type}_{value}"'))
    table.add(tomlkit.nl())
    return table

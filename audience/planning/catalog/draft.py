"""Draft a catalog from the columns of an index."""

import tomlkit
from tomlkit.items import Table

from audience.counts import format_count
from audience.index.device_index import DeviceIndex
from audience.index.query.attribute_stats import AttributeStats
from audience.language.attribute_names import BUILTIN_TYPES, UNTYPED

MAX_CLOSED_VALUES = 200  # an attribute with more values is assumed to be open
ORDERED_TYPES = ("number", "date", "version")


def draft_catalog(index: DeviceIndex) -> str:
    """Return a catalog as TOML, with the values, constraints and orders that the index shows.

    What holds for today's devices may not hold for tomorrow's, so the user has to confirm each line. What a vendor
    has cannot be seen in an index, so such lines are comments.
    """
    document, devices = tomlkit.document(), format_count(len(index), "device")
    document.add(tomlkit.comment(f"Drafted from {devices}. Confirm each line: plans rely on it."))
    document.add(tomlkit.comment("No vendor is taken to have any of it: remove the # of a line that is true."))
    if UNTYPED in index.attributes:
        document.add(tomlkit.nl())
        document.add(tomlkit.comment("[tag]"))
        document.add(tomlkit.comment('at = { tpns = ["vip", "vip_*"] }  # the untyped tags that were also set there'))
        document.add(tomlkit.nl())
    for attribute in index.attributes.values():
        if attribute.name != UNTYPED:
            document.add(attribute.name, _build_table(index, attribute))
    return tomlkit.dumps(document)


def _build_table(index: DeviceIndex, attribute: AttributeStats) -> Table:
    table = tomlkit.table()
    is_closed = attribute.distinct_count <= MAX_CLOSED_VALUES
    if is_closed:
        table.add("values", attribute.values.to_list())
    if attribute.is_single_valued:
        table.add("exclusive", True)
        if is_closed and attribute.count_by_value()["devices"].sum() == len(index) > 0:
            table.add("exhaustive", True)
    if attribute.role in ORDERED_TYPES:
        table.add("order", attribute.role)
    table.add(tomlkit.comment('names.engagelab = "{type}_{value}"'))
    table.add(tomlkit.comment('names.emas = "{type}_{value}"'))
    if attribute.name in BUILTIN_TYPES:
        table.add(tomlkit.comment('builtin = ["tpns"]  # its own, and its values mean what this column holds'))
    else:
        table.add(tomlkit.comment('at = ["onesignal"]  # it has these tags under this name'))
    table.add(tomlkit.nl())
    return table

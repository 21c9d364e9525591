"""Find the few attributes of a catalog that may give a tag the name it has at a vendor, without trying all of them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from audience.language.ast import Tag

Naming: TypeAlias = str | Mapping[str, str] | None  # a pattern, a table of names, or no names
VALUE_PATTERN = re.compile(r"\{value(?::([^{}]+))?\}")


class AttributeNames(NamedTuple):
    """Names of one attribute at a vendor, by their form.

    Attributes:
        type: Type of its tags in the catalog.
        naming: Pattern or table that the catalog has for the vendor.
        own_type: Type of the customer's own tags at the vendor, if it has them.
        spelled: Listed values, each with the vendor's tag for it, if the vendor may spell them otherwise.
    """

    type: str
    naming: Naming = None
    own_type: str | None = None
    spelled: Iterable[tuple[Tag, str]] = ()


@dataclass(frozen=True, slots=True)
class NameIndex:
    """Attributes of a catalog, by their position, by what a name of them must look like.

    Attributes:
        types: Type of each attribute.
        by_prefix: Attributes with a pattern, by its text before `{value}`.
        by_name: Attributes with a table of names, and the value, by each name with and without a type in front of it.
        by_type: Attributes that the vendor has under a type of their own, by that type.
        by_tag: Attributes whose values the vendor may spell otherwise, and the value, by the vendor's tag.
    """

    types: list[str] = field(default_factory=list)
    by_prefix: dict[str, list[int]] = field(default_factory=dict)
    by_name: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    by_type: dict[str, list[int]] = field(default_factory=dict)
    by_tag: dict[Tag, list[tuple[int, str]]] = field(default_factory=dict)

    def find_candidates(self, vendor_tag: Tag, names: Iterable[str]) -> dict[int, list[str]]:
        """Return the attributes that may call a tag *vendor_tag*, by their position in the catalog.

        Each has the values to which its table gives that name, or that are spelled so. *names* are those that a catalog
        can write for the tag.
        """
        candidates: dict[int, list[str]] = {position: [] for position in self.by_type.get(vendor_tag.type, ())}
        lengths = {len(prefix) for prefix in self.by_prefix}
        for name in names:
            for length in lengths:
                candidates.update((position, []) for position in self.by_prefix.get(name[:length], ()))
        for position, value in (*self.by_name.get(vendor_tag.value, ()), *self.by_tag.get(vendor_tag, ())):
            candidates.setdefault(position, []).append(value)
        return candidates


def build_name_index(attributes: Iterable[AttributeNames]) -> NameIndex:
    """Return the index of *attributes*.

    >>> index = build_name_index([AttributeNames("p", "{type}_{value}"), AttributeNames("q", {"x": "p_x"})])
    >>> index.find_candidates(Tag("tag", "p_x"), ["p_x"])
    {0: [], 1: ['x']}
    """
    index = NameIndex()
    for position, attribute in enumerate(attributes):
        index.types.append(attribute.type)
        if attribute.own_type is not None:
            index.by_type.setdefault(attribute.own_type, []).append(position)
        for vendor_tag, value in attribute.spelled:
            index.by_tag.setdefault(vendor_tag, []).append((position, value))
        _add_naming(index, position, attribute)
    return index


def _add_naming(index: NameIndex, position: int, attribute: AttributeNames) -> None:
    """Add the pattern or the table of *attribute* to *index*."""
    if isinstance(attribute.naming, str):
        placeholder = VALUE_PATTERN.search(attribute.naming)
        prefix = attribute.naming[: placeholder.start()] if placeholder else attribute.naming
        index.by_prefix.setdefault(prefix.replace("{type}", attribute.type), []).append(position)
    elif attribute.naming is not None:
        for value, name in attribute.naming.items():
            for ending in {name, name.partition(":")[2], name.partition(".")[2]}:
                index.by_name.setdefault(ending, []).append((position, value))

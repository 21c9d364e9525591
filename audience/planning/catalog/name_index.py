"""Find the few attributes of a catalog that may give a tag the name it has at a vendor, without trying all of them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Naming: TypeAlias = str | Mapping[str, str] | None  # a pattern, a table of names, or no names
VALUE_PATTERN = re.compile(r"\{value(?::([^{}]+))?\}")


@dataclass(frozen=True, slots=True)
class NameIndex:
    """Positions of attributes in a catalog by what a name of them must look like.

    Attributes:
        by_prefix: Attributes with a pattern, by its text before `{value}`.
        by_name: Attributes with a table of names, and the value, by each name with and without a type in front of it.
        by_type: Attributes that the vendor has under a type of their own, by that type.
    """

    by_prefix: dict[str, list[int]] = field(default_factory=dict)
    by_name: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    by_type: dict[str, list[int]] = field(default_factory=dict)

    def find_candidates(self, type_: str, value: str, spellings: Iterable[str]) -> dict[int, list[str]]:
        """Return the attributes that may call a tag of a vendor *type_*:*value*, by their position in the catalog.

        Each has the values to which its table gives that name. *spellings* are the names that a catalog can write for
        the tag.
        """
        candidates: dict[int, list[str]] = {position: [] for position in self.by_type.get(type_, ())}
        lengths = {len(prefix) for prefix in self.by_prefix}
        for spelling in spellings:
            for length in lengths:
                candidates.update((position, []) for position in self.by_prefix.get(spelling[:length], ()))
        for position, own_value in self.by_name.get(value, ()):
            candidates.setdefault(position, []).append(own_value)
        return dict(sorted(candidates.items()))


def build_name_index(attributes: Iterable[tuple[str, Naming, str | None]]) -> NameIndex:
    """Return the index of *attributes*: the type, the names and the own type at the vendor of each.

    >>> index = build_name_index([("p", "{type}_{value}", None), ("q", {"x": "p_x"}, None), ("r", "r_{value}", None)])
    >>> index.find_candidates("tag", "p_x", ["p_x"])
    {0: [], 1: ['x']}
    """
    index = NameIndex()
    for position, (type_, naming, own_type) in enumerate(attributes):
        if own_type is not None:
            index.by_type.setdefault(own_type, []).append(position)
        if isinstance(naming, str):
            placeholder = VALUE_PATTERN.search(naming)
            prefix = naming[: placeholder.start()] if placeholder else naming
            index.by_prefix.setdefault(prefix.replace("{type}", type_), []).append(position)
        elif naming is not None:
            for value, name in naming.items():
                for ending in {name, name.partition(":")[2], name.partition(".")[2]}:
                    index.by_name.setdefault(ending, []).append((position, value))
    return index

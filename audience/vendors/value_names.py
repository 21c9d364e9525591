"""Words of a vendor for the values of the attributes that it keeps by itself."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from audience.errors import Problem
from audience.language.ast import Expr, Tag, map_atoms
from audience.language.printer import quote_name, render
from audience.language.vocabulary import canonical_value

WORD_TYPES = frozenset({"brand", "city", "country", "language", "province", "region"})  # their values are words


@dataclass(frozen=True, slots=True)
class ValueNames:
    """Documented values of one attribute of a vendor.

    Attributes:
        names: The vendor's word for each shared spelling that it writes differently.
        pattern: Regular expression of the values that it writes as they are.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    pattern: str = r"(?!)"

    def documents(self, value: str) -> bool:
        """Return whether a page of the vendor documents its word for *value*.

        >>> [ValueNames(pattern="[A-Z]{2}").documents(value) for value in ("CN", "China")]
        [True, False]
        """
        return value in self.names or re.fullmatch(self.pattern, value) is not None


def read_values(expr: Expr, value_names: Mapping[str, ValueNames]) -> Expr:
    """Return *expr*, read from a payload, with the shared spelling of each value."""
    return map_atoms(expr, lambda atom: read_value(atom, value_names) if isinstance(atom, Tag) else atom)


def read_value(tag: Tag, value_names: Mapping[str, ValueNames]) -> Tag:
    """Return *tag* with the shared spelling of its value, if its type is one of *value_names*."""
    if tag.type not in value_names:
        return tag
    return Tag(tag.type, canonical_value(tag.type, tag.value), span=tag.span)


def write_values(expr: Expr, value_names: Mapping[str, ValueNames]) -> Expr:
    """Return *expr* with the vendor's word for each value."""
    return map_atoms(expr, lambda atom: write_value(atom, value_names) if isinstance(atom, Tag) else atom)


def write_value(tag: Tag, value_names: Mapping[str, ValueNames]) -> Tag:
    """Return *tag* with the vendor's word for its value, if its type is one of *value_names*."""
    if tag.type not in value_names:
        return tag
    return Tag(tag.type, value_names[tag.type].names.get(tag.value, tag.value), span=tag.span)


def spelling_problems(tag: Tag, value_names: Mapping[str, ValueNames], title: str) -> Iterator[Problem]:
    """Yield a problem if the value is not in the shared spelling: it would be read back as another."""
    shared = read_value(tag, value_names)
    if shared != tag:
        hint = f"write {render(shared)}; if your table has {quote_name(tag.value)}, {list_values_hint(tag)}"
        yield Problem("other-spelling", f"{render(tag)} is {render(shared)} at {title}", tag.span, hint=hint)


def list_values_hint(tag: Tag) -> str:
    """Return how a catalog makes the value of *tag* known, which a vendor spells otherwise."""
    return f"list the values of {tag.type} in a catalog, with `builtin`: `audience catalog init` drafts it"


def list_undocumented_values(tags: Iterable[Tag], value_names: Mapping[str, ValueNames]) -> list[Tag]:
    """Return those of *tags* whose words no page of the vendor documents."""
    no_names = ValueNames()
    return [
        tag
        for tag in dict.fromkeys(tags)
        if tag.type in WORD_TYPES and not value_names.get(tag.type, no_names).documents(tag.value)
    ]

"""Number the values of exclusive attributes, so that a few boolean variables encode the value of a device.

A device has one of n values, or none: n + 1 cases, which the binary digits of a code distinguish.

    city:a OR city:b OR city:c      codes 1, 2 and 3; a device with none of them has the code 0

Tags that a device can have together, such as a day and a timestamp of that day, share a code. Each of them also has its
own boolean variable.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from audience.algebra.constraints import AttributeConstraints
from audience.language.ast import Expr, Tag, atoms


@dataclass(frozen=True, slots=True)
class ExclusiveGroup:
    """Tags of an exclusive attribute.

    Attributes:
        codes: Code of each tag, from 1.
        shared_codes: Codes of several tags.
        bit_count: Number of binary digits of the codes.
    """

    type: str
    codes: dict[Tag, int]
    shared_codes: frozenset[int]
    bit_count: int


ExclusiveGroups: TypeAlias = dict[str, ExclusiveGroup]  # by type


def group_exclusive_tags(exprs: Sequence[Expr], constraints: AttributeConstraints) -> ExclusiveGroups:
    """Return the group of each exclusive attribute of which *exprs* name tags that exclude each other.

    Codes follow the reading order, because the diagram of adjacent codes is small.

    >>> p, q = Tag("p", "x"), Tag("p", "y")
    >>> group_exclusive_tags([p | q], AttributeConstraints(exclusive=frozenset("p")))["p"].codes == {p: 1, q: 2}
    True
    """
    tags_by_type: dict[str, dict[Tag, Hashable]] = {}
    for tag in (atom for expr in exprs for atom in atoms(expr)):
        if isinstance(tag, Tag) and tag.type in constraints.exclusive:
            tags_by_type.setdefault(tag.type, {}).setdefault(tag, constraints.overlap_key(tag))
    return {type_: _number_tags(type_, keys) for type_, keys in tags_by_type.items() if len(set(keys.values())) > 1}


def _number_tags(type_: str, keys: dict[Tag, Hashable]) -> ExclusiveGroup:
    code_by_key = {key: code for code, key in enumerate(dict.fromkeys(keys.values()), start=1)}
    codes = {tag: code_by_key[key] for tag, key in keys.items()}
    shared_codes = frozenset(code for code, count in Counter(codes.values()).items() if count > 1)
    return ExclusiveGroup(type_, codes, shared_codes, len(code_by_key).bit_length())

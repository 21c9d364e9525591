"""Requests for an audience of several platforms, where the vendor narrows each request to platforms as a whole.

(a AND platform:ios) OR (b AND platform:android)         the audience
a, narrowed to ios    b, narrowed to android             two requests: a device is on one platform
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from audience.algebra.constraints import AttributeConstraints
from audience.algebra.cover import Cover
from audience.algebra.exclusive_values import group_by_rest, values_of_type
from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.errors import Problem
from audience.language.ast import Everyone, Expr, Nobody, Not, Tag, all_of, any_of
from audience.language.platforms import PLATFORM_TYPE
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.vendor_names import find_candidate_tags, to_vendor_tag
from audience.vendors.platform_field import PlatformField
from audience.vendors.spec import Vendor


@dataclass(frozen=True, slots=True)
class PlatformAttribute:
    """Attribute of expressions whose values a vendor knows as the platforms of its field.

    Attributes:
        type: Name of the attribute.
        field: The vendor's field.
        title: Name of the vendor in messages.
        known: All platforms on which the vendor's devices are; empty if they are not known.
    """

    type: str
    field: PlatformField
    title: str
    known: tuple[str, ...]

    def tag(self, value: str) -> Tag:
        """Return the tag of one platform."""
        return Tag(self.type, value)

    @property
    def constraints(self) -> AttributeConstraints:
        """Constraints that hold at the vendor: a device is on one platform, and on one of those documented."""
        return AttributeConstraints(
            exclusive=frozenset([self.type]),
            exhaustive=frozenset([self.type] if self.known else []),
            values={self.type: self.known} if self.known else {},
        )

    @property
    def assumption(self) -> Problem:
        """Assumption of requests for several platforms."""
        which = f"one of {', '.join(self.known)}" if self.known else "and on no other"
        return Problem("one-platform", f"every device at {self.title} is on one platform, {which}")


def find_platform_attribute(vendor: Vendor, catalog: Catalog | None) -> PlatformAttribute | None:
    """Return the attribute of platforms at *vendor*; None if it has no such field, or the catalog gives it other names.

    A catalog may name its own tags of platforms at the vendor. Then they are tags like any others.
    """
    if vendor.platforms is None:
        return None
    own_tags = [Tag(PLATFORM_TYPE, value) for value in vendor.platforms.names]
    if catalog is not None and any(
        to_vendor_tag(tag, catalog, vendor) != tag or find_candidate_tags(tag, catalog, vendor) != [tag]
        for tag in own_tags
    ):
        return None
    return PlatformAttribute(PLATFORM_TYPE, vendor.platforms, vendor.title, _find_known(vendor.platforms, catalog))


def _find_known(field: PlatformField, catalog: Catalog | None) -> tuple[str, ...]:
    """Return all platforms there are: those that the vendor documents and the catalog does not rule out."""
    attribute = None if catalog is None else catalog.attributes.get(PLATFORM_TYPE)
    if attribute is None or not attribute.values:
        return field.all_platforms
    if attribute.exhaustive:
        return attribute.values
    return tuple(name for name in field.all_platforms if name in attribute.values)


def find_platform_cover(
    expr: Expr, attribute: PlatformAttribute, cover_rest: Callable[[Expr, Expr], Cover], max_parts: int
) -> Cover:
    """Split *expr* into disjoint parts, each narrowed to platforms that one request can name.

    Args:
        expr: Audience that names platforms.
        attribute: The attribute of platforms.
        cover_rest: Splits an expression without platforms, narrowed to platforms, into parts of one request each.
        max_parts: Maximum number of parts.
    """
    values = list(dict.fromkeys([*values_of_type(expr, attribute.type), *attribute.known]))
    choices: list[str | None] = [*values] if attribute.known else [*values, None]
    values_by_part: dict[Expr, list[str]] = {}
    remainder: list[Expr] = []
    for rest, group in group_by_rest(expr, attribute.type, choices):
        if rest == Nobody():
            continue
        reachable = [value for value in group if value is not None and value in attribute.field.names]
        if reachable:
            cover = cover_rest(rest, attribute.tag(reachable[0]))
            remainder.append(all_of([cover.remainder, any_of(map(attribute.tag, reachable))]))
            for part in cover.parts:
                values_by_part.setdefault(part, []).extend(reachable)
        remainder += [all_of([rest, _on_value(value, values, attribute)]) for value in group if value not in reachable]
    parts = [part for rest, named in values_by_part.items() for part in _narrow(rest, named, values, attribute)]
    left = simplify(nnf(any_of([*parts[max_parts:], *remainder])))
    return Cover(tuple(parts[:max_parts]), left, is_minimal=len(parts) <= 1)


def _on_value(value: str | None, values: Sequence[str], attribute: PlatformAttribute) -> Expr:
    """Return the devices on the platform *value*; if it is None, those on none of *values*."""
    if value is None:
        return all_of(Not(attribute.tag(each)) for each in values)
    return attribute.tag(value)


def _narrow(rest: Expr, named: Sequence[str], values: Sequence[str], attribute: PlatformAttribute) -> list[Expr]:
    """Return *rest* narrowed to the platforms *named*, in as few requests as can name them all.

    If these are all platforms there are, nothing needs narrowing, but nobody writes to everyone by accident.
    """
    if attribute.known and set(named) == set(values) and rest != Everyone():
        return [rest]
    size = attribute.field.max_named
    chunks = [named[start : start + size] for start in range(0, len(named), size)]
    return [all_of([rest, any_of(map(attribute.tag, chunk))]) for chunk in chunks]

"""What vendors call the tags of a catalog, forth and back."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime

from audience.algebra.request_shape import ListsByKey, RequestShape
from audience.errors import Problem
from audience.language.ast import Atom, Compare, Expr, Tag, Within, atoms, map_atoms
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog, CatalogAttribute
from audience.vendors.payload_reader import fail
from audience.vendors.spec import Payload, Unsupported, Vendor

READ_HINT = "mend the catalog: what is read must be one thing of the house"
VALUE_PATTERN = re.compile(r"\{value(?::([^{}]+))?\}")


def with_catalog_names(vendor: Vendor, catalog: Catalog | None) -> Vendor:
    """*vendor* with the names of *catalog*, if there is one: it emits and parses in the words of the house."""
    if catalog is None:
        return vendor

    def emit(expr: Expr) -> Payload:
        clashes = [clash for atom in atoms(expr) for clash in _find_clashes(atom, catalog, vendor)]
        if clashes:
            raise Unsupported(clashes)
        return vendor.emit(_rename_tags(expr, lambda tag: to_vendor_tag(tag, catalog, vendor)))

    def tag_problems(tag: Tag) -> list[Problem]:
        return [*vendor.tag_problems(to_vendor_tag(tag, catalog, vendor)), *_find_clashes(tag, catalog, vendor)]

    def parse(payload: object) -> Expr:
        return map_atoms(vendor.parse(payload), lambda atom: _read_atom(atom, catalog, vendor))

    if vendor.read_only_reason:
        return replace(vendor, parse=parse)
    return replace(
        vendor,
        parse=parse,
        emit=emit,
        tag_problems=tag_problems,
        shape=_rename_shape_keys(vendor.shape, catalog, vendor),
    )


def _rename_shape_keys(shape: RequestShape, catalog: Catalog, vendor: Vendor) -> RequestShape:
    """*shape* for tags of the house: where it asks for the key of a tag, that is the key of its name."""
    if not isinstance(shape, ListsByKey):
        return shape
    return replace(shape, key=lambda tag: shape.key(to_vendor_tag(tag, catalog, vendor)))


def _rename_tags(expr: Expr, rename: Callable[[Tag], Tag]) -> Expr:
    return map_atoms(expr, lambda atom: rename(atom) if isinstance(atom, Tag) else atom)


def _find_clashes(atom: Atom, catalog: Catalog, vendor: Vendor) -> Iterator[Problem]:
    """The problem of a tag whose name at *vendor* belongs to another tag, or of a comparison of what has others."""
    match atom:
        case Tag():
            name = to_vendor_tag(atom, catalog, vendor)
            for other in find_candidate_tags(name, catalog, vendor):
                if other != atom:
                    why = f"{render(name)!r} at {vendor.name} is {render(other)} by the catalog, and not {render(atom)}"
                    yield Problem("ambiguous-name", why, atom.span)
        case Compare(type=type_) | Within(type=type_) if _is_renamed(type_, catalog, vendor):
            why = f"{render(atom)!r}: by the catalog {vendor.name} has names for single values of {type_}"
            yield Problem("no-ranges", why, atom.span)


def _read_atom(atom: Atom, catalog: Catalog, vendor: Vendor) -> Atom:
    """What the house calls *atom* of *vendor*; PayloadError where the catalog has two words for it, or another."""
    match atom:
        case Tag():
            return _read_tag(atom, catalog, vendor)
        case Compare(type=type_, value=value) | Within(type=type_, day=value):
            if _is_renamed(type_, catalog, vendor):
                fail("ambiguous-name", f"{type_} has other names at {vendor.name} by the catalog", "$", READ_HINT)
            tag = _read_tag(Tag(type_, value), catalog, vendor)
            if tag.value == value:
                return replace(atom, type=tag.type)
            fail("ambiguous-name", f"{render(atom)!r}: the catalog has names for its single values", "$", READ_HINT)
    return atom


def _read_tag(vendor_tag: Tag, catalog: Catalog, vendor: Vendor) -> Tag:
    tag, *others = find_candidate_tags(vendor_tag, catalog, vendor)
    if others:
        why = f"{render(vendor_tag)!r} at {vendor.name} is {render(tag)} by the catalog, and {render(others[0])}"
        fail("ambiguous-name", why, "$", READ_HINT)
    if tag == vendor_tag and (other := to_vendor_tag(vendor_tag, catalog, vendor)) != vendor_tag:
        why = (
            f"{render(vendor_tag)!r}: by the catalog {vendor.name} calls that {render(other)}, so this is another thing"
        )
        fail("ambiguous-name", why, "$", READ_HINT)
    return tag


def _is_renamed(type_: str, catalog: Catalog, vendor: Vendor) -> bool:
    """Whether the values of *type_* stand at *vendor* under another type, or otherwise written."""
    attribute = catalog.attributes.get(type_)
    naming = None if attribute is None else _find_naming(attribute, vendor)
    if isinstance(naming, str):
        return _parse_vendor_name(naming.replace("{type}", type_), vendor) != Tag(type_, "{value}")
    return naming is not None


def to_vendor_tag(tag: Tag, catalog: Catalog, vendor: Vendor) -> Tag:
    """What *vendor* calls *tag*; a tag that the catalog gives no name keeps its own."""
    attribute = catalog.attributes.get(tag.type)
    return tag if attribute is None else format_vendor_tag(tag, attribute, vendor)


def format_vendor_tag(tag: Tag, attribute: CatalogAttribute, vendor: Vendor) -> Tag:
    """What *vendor* calls *tag* of *attribute*; itself where it has no other name."""
    naming = _find_naming(attribute, vendor)
    if isinstance(naming, Mapping):
        naming = naming.get(tag.value)
    if naming is None or (attribute.values and tag.value not in attribute.values):
        return tag
    try:
        text = VALUE_PATTERN.sub(lambda found: _format_value(tag.value, found[1]), naming)
    except ValueError:
        return tag  # no day, so it has no name as one
    return replace(_parse_vendor_name(text.replace("{type}", tag.type), vendor), span=tag.span)


def _find_naming(attribute: CatalogAttribute, vendor: Vendor) -> str | Mapping[str, str] | None:
    """What *vendor* calls *attribute*: by its own name, that of its family, or as it writes days."""
    found = next((attribute.names[name] for name in vendor.id_columns if name in attribute.names), None)
    return vendor.date_formats.get(attribute.name) if found is None and attribute.order == "date" else found


def _format_value(value: str, date_format: str | None) -> str:
    return date.fromisoformat(value).strftime(date_format) if date_format else value


def _parse_vendor_name(text: str, vendor: Vendor) -> Tag:
    """A name as a catalog writes it: a type of the vendor's own before the first dot, any other before a colon."""
    type_, _, rest = text.partition(":")
    if vendor.has_typed_tags and type_ and rest:
        return Tag(type_, rest)
    word, dot, value = text.partition(".")
    return (
        Tag(vendor.type_aliases[word], value) if dot and value and word in vendor.type_aliases else Tag(UNTYPED, text)
    )


def find_candidate_tags(vendor_tag: Tag, catalog: Catalog, vendor: Vendor) -> list[Tag]:
    """The tags of the house that *vendor* calls *said*; where no attribute claims it, it stands for itself."""
    return list(find_matching_tags(vendor_tag, catalog, vendor)) or [vendor_tag]


def find_matching_tags(vendor_tag: Tag, catalog: Catalog, vendor: Vendor) -> Iterator[Tag]:
    """Every tag of the catalog that *vendor* calls *said*; a sound catalog has one at most, of closed attributes."""
    for attribute in catalog.attributes.values():
        for value in dict.fromkeys(_candidate_values(vendor_tag, attribute, vendor)):
            tag = Tag(attribute.name, value)
            if tag != vendor_tag and format_vendor_tag(tag, attribute, vendor) == vendor_tag:
                yield replace(tag, span=vendor_tag.span)


def _candidate_values(vendor_tag: Tag, attribute: CatalogAttribute, vendor: Vendor) -> Iterator[str]:
    """The values that *said* may stand for."""
    naming = _find_naming(attribute, vendor)
    if isinstance(naming, Mapping):
        yield from (
            value for value, name in naming.items() if name == vendor_tag.value or name.endswith(vendor_tag.value)
        )
    elif naming is not None:
        words = [word for word, type_ in vendor.type_aliases.items() if type_ == vendor_tag.type]
        typed = [f"{vendor_tag.type}:{vendor_tag.value}"] if vendor.has_typed_tags else []
        for text in (vendor_tag.value, *(f"{word}.{vendor_tag.value}" for word in words), *typed):
            left, _, right = VALUE_PATTERN.sub("\0", naming).replace("{type}", attribute.name).partition("\0")
            if text.startswith(left) and text.endswith(right) and len(text) > len(left) + len(right):
                yield from _unformat_value(text[len(left) : len(text) - len(right)], VALUE_PATTERN.search(naming))


def _unformat_value(text: str, placeholder: re.Match[str] | None) -> Iterator[str]:
    if placeholder is None or placeholder[1] is None:
        yield text
    else:
        try:
            yield datetime.strptime(text, placeholder[1]).date().isoformat()
        except ValueError:
            return

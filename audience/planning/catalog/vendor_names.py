"""What vendors call the tags of a catalog, forth and back."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime

from audience.algebra.request_shape import Keyed, Shape
from audience.errors import Problem
from audience.language.ast import Atom, Compare, Expr, Tag, Within, atoms, rewritten
from audience.language.attribute_names import BARE
from audience.language.printer import render
from audience.planning.catalog.catalog import Attribute, Catalog
from audience.vendors.payload_reader import refuse
from audience.vendors.spec import Payload, Unsaid, Vendor

READ_HINT = "mend the catalog: what is read must be one thing of the house"
VALUE = re.compile(r"\{value(?::([^{}]+))?\}")


def speaking(vendor: Vendor, catalog: Catalog | None) -> Vendor:
    """*vendor* with the names of *catalog*, if there is one: it emits and parses in the words of the house."""
    if catalog is None:
        return vendor

    def emit(expr: Expr) -> Payload:
        clashes = [clash for atom in atoms(expr) for clash in _clash(atom, catalog, vendor)]
        if clashes:
            raise Unsaid(clashes)
        return vendor.emit(_renamed(expr, lambda tag: said(tag, catalog, vendor)))

    def unnamed(tag: Tag) -> list[Problem]:
        return [*vendor.unnamed(said(tag, catalog, vendor)), *_clash(tag, catalog, vendor)]

    def parse(payload: object) -> Expr:
        return rewritten(vendor.parse(payload), lambda atom: _read(atom, catalog, vendor))

    if vendor.reads_only:
        return replace(vendor, parse=parse)
    return replace(vendor, parse=parse, emit=emit, unnamed=unnamed, shape=_keyed(vendor.shape, catalog, vendor))


def _keyed(shape: Shape, catalog: Catalog, vendor: Vendor) -> Shape:
    """*shape* for tags of the house: where it asks for the key of a tag, that is the key of its name."""
    if not isinstance(shape, Keyed):
        return shape
    return replace(shape, key=lambda tag: shape.key(said(tag, catalog, vendor)))


def _renamed(expr: Expr, name: Callable[[Tag], Tag]) -> Expr:
    return rewritten(expr, lambda atom: name(atom) if isinstance(atom, Tag) else atom)


def _clash(atom: Atom, catalog: Catalog, vendor: Vendor) -> Iterator[Problem]:
    """The problem of a tag whose name at *vendor* belongs to another tag, or of a comparison of what has others."""
    match atom:
        case Tag():
            name = said(atom, catalog, vendor)
            for other in owners(name, catalog, vendor):
                if other != atom:
                    why = f"{render(name)!r} at {vendor.name} is {render(other)} by the catalog, and not {render(atom)}"
                    yield Problem("ambiguous-name", why, atom.span)
        case Compare(type=type_) | Within(type=type_) if _is_renamed(type_, catalog, vendor):
            why = f"{render(atom)!r}: by the catalog {vendor.name} has names for single values of {type_}"
            yield Problem("no-ranges", why, atom.span)


def _read(atom: Atom, catalog: Catalog, vendor: Vendor) -> Atom:
    """What the house calls *atom* of *vendor*; PayloadError where the catalog has two words for it, or another."""
    match atom:
        case Tag():
            return _read_tag(atom, catalog, vendor)
        case Compare(type=type_, value=value) | Within(type=type_, day=value):
            if _is_renamed(type_, catalog, vendor):
                refuse("ambiguous-name", f"{type_} has other names at {vendor.name} by the catalog", "$", READ_HINT)
            tag = _read_tag(Tag(type_, value), catalog, vendor)
            if tag.value == value:
                return replace(atom, type=tag.type)
            refuse("ambiguous-name", f"{render(atom)!r}: the catalog has names for its single values", "$", READ_HINT)
    return atom


def _read_tag(name: Tag, catalog: Catalog, vendor: Vendor) -> Tag:
    tag, *others = owners(name, catalog, vendor)
    if others:
        why = f"{render(name)!r} at {vendor.name} is {render(tag)} by the catalog, and {render(others[0])}"
        refuse("ambiguous-name", why, "$", READ_HINT)
    if tag == name and (other := said(name, catalog, vendor)) != name:
        why = f"{render(name)!r}: by the catalog {vendor.name} calls that {render(other)}, so this is another thing"
        refuse("ambiguous-name", why, "$", READ_HINT)
    return tag


def _is_renamed(type_: str, catalog: Catalog, vendor: Vendor) -> bool:
    """Whether the values of *type_* stand at *vendor* under another type, or otherwise written."""
    attribute = catalog.attributes.get(type_)
    naming = None if attribute is None else _naming(attribute, vendor)
    if isinstance(naming, str):
        return _noted(naming.replace("{type}", type_), vendor) != Tag(type_, "{value}")
    return naming is not None


def said(tag: Tag, catalog: Catalog, vendor: Vendor) -> Tag:
    """What *vendor* calls *tag*; a tag that the catalog gives no name keeps its own."""
    attribute = catalog.attributes.get(tag.type)
    return tag if attribute is None else named(tag, attribute, vendor)


def named(tag: Tag, attribute: Attribute, vendor: Vendor) -> Tag:
    """What *vendor* calls *tag* of *attribute*; itself where it has no other name."""
    naming = _naming(attribute, vendor)
    if isinstance(naming, Mapping):
        naming = naming.get(tag.value)
    if naming is None or (attribute.values and tag.value not in attribute.values):
        return tag
    try:
        text = VALUE.sub(lambda found: _formatted(tag.value, found[1]), naming)
    except ValueError:
        return tag  # no day, so it has no name as one
    return replace(_noted(text.replace("{type}", tag.type), vendor), span=tag.span)


def _naming(attribute: Attribute, vendor: Vendor) -> str | Mapping[str, str] | None:
    """What *vendor* calls *attribute*: by its own name, that of its family, or as it writes days."""
    found = next((attribute.names[name] for name in vendor.known_by if name in attribute.names), None)
    return vendor.days.get(attribute.name) if found is None and attribute.order == "date" else found


def _formatted(value: str, form: str | None) -> str:
    return date.fromisoformat(value).strftime(form) if form else value


def _noted(text: str, vendor: Vendor) -> Tag:
    """A name as a catalog writes it: a type of the vendor's own before the first dot, any other before a colon."""
    type_, _, rest = text.partition(":")
    if vendor.any_type and type_ and rest:
        return Tag(type_, rest)
    word, dot, value = text.partition(".")
    return Tag(vendor.types[word], value) if dot and value and word in vendor.types else Tag(BARE, text)


def owners(said: Tag, catalog: Catalog, vendor: Vendor) -> list[Tag]:
    """The tags of the house that *vendor* calls *said*; where no attribute claims it, it stands for itself."""
    return list(claims(said, catalog, vendor)) or [said]


def claims(said: Tag, catalog: Catalog, vendor: Vendor) -> Iterator[Tag]:
    """Every tag of the catalog that *vendor* calls *said*; a sound catalog has one at most, of closed attributes."""
    for attribute in catalog.attributes.values():
        for value in dict.fromkeys(_candidates(said, attribute, vendor)):
            tag = Tag(attribute.name, value)
            if tag != said and named(tag, attribute, vendor) == said:
                yield replace(tag, span=said.span)


def _candidates(said: Tag, attribute: Attribute, vendor: Vendor) -> Iterator[str]:
    """The values that *said* may stand for."""
    naming = _naming(attribute, vendor)
    if isinstance(naming, Mapping):
        yield from (value for value, name in naming.items() if name == said.value or name.endswith(said.value))
    elif naming is not None:
        words = [word for word, type_ in vendor.types.items() if type_ == said.type]
        typed = [f"{said.type}:{said.value}"] if vendor.any_type else []
        for text in (said.value, *(f"{word}.{said.value}" for word in words), *typed):
            left, _, right = VALUE.sub("\0", naming).replace("{type}", attribute.name).partition("\0")
            if text.startswith(left) and text.endswith(right) and len(text) > len(left) + len(right):
                yield from _unformatted(text[len(left) : len(text) - len(right)], VALUE.search(naming))


def _unformatted(text: str, found: re.Match[str] | None) -> Iterator[str]:
    if found is None or found[1] is None:
        yield text
    else:
        try:
            yield datetime.strptime(text, found[1]).date().isoformat()
        except ValueError:
            return

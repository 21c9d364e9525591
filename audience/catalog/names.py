"""What vendors call the tags of a catalog, forth and back."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime

from audience.algebra.shape import Keyed, Shape
from audience.catalog.attributes import Attribute, Catalog
from audience.errors import Problem
from audience.language.expr import Expr, Tag, atoms, rewritten
from audience.language.notation import BARE
from audience.language.render import render
from audience.vendors.base import Payload, Unsaid, Vendor

VALUE = re.compile(r"\{value(?::([^{}]+))?\}")


def speaking(vendor: Vendor, catalog: Catalog | None) -> Vendor:
    """*vendor* with the names of *catalog*, if there is one: it emits and parses in the words of the house."""
    if catalog is None:
        return vendor

    def emit(expr: Expr) -> Payload:
        clashes = [clash for tag in atoms(expr) if isinstance(tag, Tag) for clash in _clash(tag, catalog, vendor)]
        if clashes:
            raise Unsaid(clashes)
        return vendor.emit(_renamed(expr, lambda tag: said(tag, catalog, vendor)))

    def unnamed(tag: Tag) -> list[Problem]:
        return [*vendor.unnamed(said(tag, catalog, vendor)), *_clash(tag, catalog, vendor)]

    def parse(payload: object) -> Expr:
        return _renamed(vendor.parse(payload), lambda tag: house(tag, catalog, vendor))

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


def _clash(tag: Tag, catalog: Catalog, vendor: Vendor) -> Iterator[Problem]:
    """The problem of a tag whose name at *vendor* belongs to another tag."""
    name = said(tag, catalog, vendor)
    other = house(name, catalog, vendor)
    if other != tag:
        why = f"{render(name)!r} at {vendor.name} is {render(other)} by the catalog, and not {render(tag)}"
        yield Problem("ambiguous-name", why, tag.span)


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


def house(said: Tag, catalog: Catalog, vendor: Vendor) -> Tag:
    """The tag of the house that *vendor* calls *said*; where no attribute claims it, it stands for itself."""
    return next(claims(said, catalog, vendor), said)


def claims(said: Tag, catalog: Catalog, vendor: Vendor) -> Iterator[Tag]:
    """Every tag of the catalog that *vendor* calls *said*; a sound catalog has one at most."""
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

"""Is a catalog sound? Every name legal at its vendor, and no two tags of one name."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from audience.errors import CatalogError, Problem
from audience.language.ast import Tag
from audience.language.attribute_names import BARE
from audience.language.printer import render
from audience.planning.catalog.catalog import Attribute, Catalog
from audience.planning.catalog.loader import load, place
from audience.planning.catalog.vendor_names import VALUE, claims, named
from audience.vendors import vendor as record
from audience.vendors import vendors
from audience.vendors.spec import Vendor


def load_catalog(path: str | Path) -> Catalog:
    """Read the catalog in the TOML file *path*; CatalogError with the line of each problem."""
    return check(load(path))


def check(catalog: Catalog) -> Catalog:
    """*catalog* itself, or CatalogError with the line of every name that is illegal or that two tags share."""
    found = [problem for name in vendors() for problem in _problems(catalog, record(name))]
    found += list(_unknown_vendors(catalog))
    if found:
        raise CatalogError(*found)
    return catalog


def _unknown_vendors(catalog: Catalog) -> Iterator[Problem]:
    for attribute in catalog.attributes.values():
        for name in attribute.names:
            if name not in vendors():
                hint = f"one of {', '.join(vendors())}"
                yield place("unknown-vendor", f"no vendor is called {name!r}", catalog.text, attribute.name, name, hint)


def _problems(catalog: Catalog, vendor: Vendor) -> Iterator[Problem]:
    """Names at *vendor* that are illegal there, or that two tags share."""
    for attribute in catalog.attributes.values():
        naming = attribute.names.get(vendor.name)
        if naming is None:
            continue
        if isinstance(naming, str) and (problem := _pattern_problem(naming, attribute, vendor)):
            yield place("not-reversible", problem, catalog.text, attribute.name, vendor.name)
            continue
        for tag in _samples(attribute, naming):
            said = named(tag, attribute, vendor)
            for legal in vendor.unnamed(said):
                why = f"{render(tag)}: {legal.message}"
                yield place(legal.code, why, catalog.text, attribute.name, vendor.name)
            for clash in claims(said, catalog, vendor):
                if clash != tag:
                    why = f"{render(tag)} and {render(clash)} are both {render(said)} at {vendor.name}"
                    yield place("not-reversible", why, catalog.text, attribute.name, vendor.name)


def _pattern_problem(naming: str, attribute: Attribute, vendor: Vendor) -> str | None:
    """Why a pattern cannot be read back: it names all values alike, or it is like every other name."""
    if not VALUE.search(naming):
        return f"{naming!r} names all values alike; put {{value}} into it"
    if len(VALUE.findall(naming)) > 1:
        return f"{naming!r} has {{value}} twice, so it cannot be read back"
    bare = ["", *(f"{word}." for word, type_ in vendor.types.items() if type_ == BARE)]
    if not attribute.values and VALUE.sub("", naming) in bare:
        return f"{naming!r} fits every bare tag; put {{type}} into it, or list the values"
    return None


def _samples(attribute: Attribute, naming: str | Mapping[str, str]) -> list[Tag]:
    """All tags of a closed attribute or of a table; of an open one, one that stands for all."""
    values = attribute.values or (tuple(naming) if isinstance(naming, Mapping) else (_sample(attribute),))
    return [Tag(attribute.name, value) for value in values]


def _sample(attribute: Attribute) -> str:
    return {"number": "1", "date": "2020-04-08", "version": "1.0"}.get(attribute.order or "", "x")

"""Is a catalog sound? Every name legal at its vendor, and no two tags of one name."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from audience.errors import CatalogError, Problem
from audience.language.ast import Tag
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog, CatalogAttribute
from audience.planning.catalog.loader import line_problem, read_catalog
from audience.planning.catalog.vendor_names import VALUE_PATTERN, find_matching_tags, format_vendor_tag
from audience.vendors import get_vendor, vendor_names
from audience.vendors.spec import Vendor


def load_catalog(path: str | Path) -> Catalog:
    """Read the catalog in the TOML file *path*; CatalogError with the line of each problem."""
    return validate_catalog(read_catalog(path))


def validate_catalog(catalog: Catalog) -> Catalog:
    """*catalog* itself, or CatalogError with the line of every name that is illegal or that two tags share."""
    found = [problem for name in vendor_names() for problem in _vendor_name_problems(catalog, get_vendor(name))]
    found += list(_unknown_vendor_problems(catalog))
    if found:
        raise CatalogError(*found)
    return catalog


def _unknown_vendor_problems(catalog: Catalog) -> Iterator[Problem]:
    for attribute in catalog.attributes.values():
        for name in attribute.names:
            if name not in vendor_names():
                hint = f"one of {', '.join(vendor_names())}"
                yield line_problem(
                    "unknown-vendor", f"no vendor is called {name!r}", catalog.text, attribute.name, name, hint
                )


def _vendor_name_problems(catalog: Catalog, vendor: Vendor) -> Iterator[Problem]:
    """Names at *vendor* that are illegal there, or that two tags share."""
    for attribute in catalog.attributes.values():
        naming = attribute.names.get(vendor.name)
        if naming is None:
            continue
        if isinstance(naming, str) and (problem := _pattern_problem(naming, attribute, vendor)):
            yield line_problem("not-reversible", problem, catalog.text, attribute.name, vendor.name)
            continue
        for tag in _sample_tags(attribute, naming):
            said = format_vendor_tag(tag, attribute, vendor)
            for legal in vendor.tag_problems(said):
                why = f"{render(tag)}: {legal.message}"
                yield line_problem(legal.code, why, catalog.text, attribute.name, vendor.name)
            for clash in find_matching_tags(said, catalog, vendor):
                if clash != tag:
                    why = f"{render(tag)} and {render(clash)} are both {render(said)} at {vendor.name}"
                    yield line_problem("not-reversible", why, catalog.text, attribute.name, vendor.name)


def _pattern_problem(naming: str, attribute: CatalogAttribute, vendor: Vendor) -> str | None:
    """Why a pattern cannot be read back: it names all values alike, or it is like every other name."""
    if not VALUE_PATTERN.search(naming):
        return f"{naming!r} names all values alike; put {{value}} into it"
    if len(VALUE_PATTERN.findall(naming)) > 1:
        return f"{naming!r} has {{value}} twice, so it cannot be read back"
    bare = ["", *(f"{word}." for word, type_ in vendor.type_aliases.items() if type_ == UNTYPED)]
    if not attribute.values and VALUE_PATTERN.sub("", naming) in bare:
        return f"{naming!r} fits every bare tag; put {{type}} into it, or list the values"
    return None


def _sample_tags(attribute: CatalogAttribute, naming: str | Mapping[str, str]) -> list[Tag]:
    """All tags of a closed attribute or of a table; of an open one, one that stands for all."""
    values = attribute.values or (tuple(naming) if isinstance(naming, Mapping) else (_sample_value(attribute),))
    return [Tag(attribute.name, value) for value in values]


def _sample_value(attribute: CatalogAttribute) -> str:
    return {"number": "1", "date": "2020-04-08", "version": "1.0"}.get(attribute.order or "", "x")

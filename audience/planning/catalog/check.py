"""Validate a catalog: every name is legal at its vendor, and no two tags share one."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from audience.errors import CatalogError, Problem
from audience.language.ast import Tag
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.planning.catalog.catalog import Catalog, CatalogAttribute
from audience.planning.catalog.declaration_check import declaration_problems
from audience.planning.catalog.loader import line_problem, read_catalog
from audience.planning.catalog.vendor_names import VALUE_PATTERN, find_matching_tags, format_vendor_tag
from audience.vendors import get_vendor, vendor_names
from audience.vendors.spec import Vendor


def load_catalog(path: str | Path) -> Catalog:
    """Read and validate the catalog in the TOML file *path*.

    Raises:
        CatalogError: With the line of each problem.
    """
    return validate_catalog(read_catalog(path))


def validate_catalog(catalog: Catalog) -> Catalog:
    """Return *catalog*, or raise CatalogError with the line of every invalid name."""
    problems = [problem for name in vendor_names() for problem in _vendor_name_problems(catalog, get_vendor(name))]
    problems += _unknown_vendor_problems(catalog)
    problems += declaration_problems(catalog)
    if problems:
        raise CatalogError(*problems)
    return catalog


def _unknown_vendor_problems(catalog: Catalog) -> Iterator[Problem]:
    for attribute in catalog.attributes.values():
        for name in attribute.names:
            if name not in vendor_names():
                hint = did_you_mean(name, vendor_names()) or f"use one of {', '.join(vendor_names())}"
                message = f"unknown vendor {name!r}"
                yield line_problem("unknown-vendor", message, catalog.text, attribute.name, name, hint)
    for name in dict.fromkeys(vendor for vendor, _ in catalog.references):
        if name not in vendor_names():
            hint = did_you_mean(name, vendor_names()) or f"use one of {', '.join(vendor_names())}"
            yield line_problem("unknown-vendor", f"unknown vendor {name!r}", catalog.text, "references", name, hint)


def _vendor_name_problems(catalog: Catalog, vendor: Vendor) -> Iterator[Problem]:
    """Yield names at *vendor* that are illegal there or that two tags share."""
    for attribute in catalog.attributes.values():
        naming = attribute.names.get(vendor.name)
        if naming is None:
            continue
        if isinstance(naming, str) and (reason := _pattern_problem(naming, attribute, vendor)):
            yield line_problem("not-reversible", reason, catalog.text, attribute.name, vendor.name)
            continue
        for tag in _sample_tags(attribute, naming):
            vendor_tag = format_vendor_tag(tag, attribute, vendor)
            for problem in vendor.tag_problems(vendor_tag):
                message = f"{render(tag)}: {problem.message}"
                yield line_problem(problem.code, message, catalog.text, attribute.name, vendor.name)
            for clash in find_matching_tags(vendor_tag, catalog, vendor):
                if clash != tag:
                    message = f"{render(tag)} and {render(clash)} are both named {render(vendor_tag)} at {vendor.name}"
                    yield line_problem("not-reversible", message, catalog.text, attribute.name, vendor.name)


def _pattern_problem(naming: str, attribute: CatalogAttribute, vendor: Vendor) -> str | None:
    """Return why a pattern is not reversible, or None."""
    if not VALUE_PATTERN.search(naming):
        return f"{naming!r} gives all values the same name; add {{value}}"
    if len(VALUE_PATTERN.findall(naming)) > 1:
        return f"{naming!r} contains {{value}} twice; use it once"
    untyped = ["", *(f"{word}." for word, type_ in vendor.type_aliases.items() if type_ == UNTYPED)]
    if not attribute.values and VALUE_PATTERN.sub("", naming) in untyped:
        return f"{naming!r} matches every untyped tag; add {{type}}, or list the values"
    return None


def _sample_tags(attribute: CatalogAttribute, naming: str | Mapping[str, str]) -> list[Tag]:
    """Return all tags of a closed attribute or of a table; one representative tag of any other attribute."""
    values = attribute.values or (tuple(naming) if isinstance(naming, Mapping) else (_sample_value(attribute),))
    return [Tag(attribute.name, value) for value in values]


def _sample_value(attribute: CatalogAttribute) -> str:
    return {"number": "1", "date": "2020-04-08", "version": "1.0"}.get(attribute.order or "", "x")

"""Validate a catalog: every name is legal at its vendor, and no two tags share one."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from audience.argument_types import check_arguments
from audience.errors import CatalogError, Problem
from audience.language.ast import Tag
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.planning.catalog.catalog import Catalog, CatalogAttribute
from audience.planning.catalog.declaration_check import declaration_problems
from audience.planning.catalog.loader import name_file, read_catalog
from audience.planning.catalog.positions import line_problem
from audience.planning.catalog.references import REFERENCES_TABLE
from audience.planning.catalog.vendor_names import find_matching_tags, find_pattern_problem, format_vendor_tag
from audience.vendors import get_vendor, vendor_names
from audience.vendors.spec import Vendor

CONTRADICTIONS = frozenset({"unknown-vendor", "no-builtin", "two-meanings"})  # what `at` and `builtin` cannot say


@check_arguments
def load_catalog(path: str | Path) -> Catalog:
    """Read the catalog in the TOML file *path* for plans.

    A name that is illegal or ambiguous at a vendor is no problem here: a plan sends its tag by ids, and says why.

    Raises:
        CatalogError: The file cannot be read, or what it says of attributes and vendors contradicts itself.
    """
    catalog = read_catalog(path)
    declared = [problem for problem in declaration_problems(catalog) if problem.code in CONTRADICTIONS]
    with name_file(path):
        _raise_problems([*_unknown_vendor_problems(catalog), *declared])
    return catalog


def validate_catalog(catalog: Catalog) -> Catalog:
    """Return *catalog*, or raise CatalogError with the line of every invalid name."""
    problems = [problem for name in vendor_names() for problem in _vendor_name_problems(catalog, get_vendor(name))]
    _raise_problems([*problems, *_unknown_vendor_problems(catalog), *declaration_problems(catalog)])
    return catalog


def _raise_problems(problems: list[Problem]) -> None:
    if problems:
        raise CatalogError(*problems)


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
            yield line_problem("unknown-vendor", f"unknown vendor {name!r}", catalog.text, REFERENCES_TABLE, name, hint)


def _vendor_name_problems(catalog: Catalog, vendor: Vendor) -> Iterator[Problem]:
    """Yield names at *vendor* that are illegal there or that two tags share."""
    for attribute in catalog.attributes.values():
        naming = attribute.names.get(vendor.name)
        if naming is None:
            continue
        if reason := find_pattern_problem(attribute, vendor):
            yield line_problem("not-reversible", reason, catalog.text, attribute.name, vendor.name)
            continue
        for tag in _sample_tags(attribute, naming):
            vendor_tag = format_vendor_tag(tag, attribute, vendor)
            for problem in vendor.tag_problems(vendor_tag):
                message = f"{render(tag)}: {problem.message}"
                yield line_problem(problem.code, message, catalog.text, attribute.name, vendor.name, problem.hint)
            for clash in find_matching_tags(vendor_tag, catalog, vendor):
                if clash != tag:
                    message = f"{render(tag)} and {render(clash)} are both named {render(vendor_tag)} at {vendor.name}"
                    yield line_problem("not-reversible", message, catalog.text, attribute.name, vendor.name)


def _sample_tags(attribute: CatalogAttribute, naming: str | Mapping[str, str]) -> list[Tag]:
    """Return all tags of a closed attribute or of a table; one representative tag of any other attribute."""
    values = attribute.values or (tuple(naming) if isinstance(naming, Mapping) else (_sample_value(attribute),))
    return [Tag(attribute.name, value) for value in values]


def _sample_value(attribute: CatalogAttribute) -> str:
    return {"number": "1", "date": "2020-04-08", "version": "1.0"}.get(attribute.order or "", "x")

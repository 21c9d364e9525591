"""Check what a catalog declares of vendors by `at` and `builtin`: known vendors, one meaning at each, legal names."""

from collections.abc import Iterator

from audience.errors import Problem
from audience.language.ast import Tag
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.planning.catalog.catalog import Catalog, CatalogAttribute
from audience.planning.catalog.positions import line_problem
from audience.planning.catalog.vendor_names import format_vendor_tag, list_vendor_types
from audience.vendors import get_vendor, vendor_names
from audience.vendors.spec import Vendor

GLOB_CHARS = "*?["


def declaration_problems(catalog: Catalog) -> Iterator[Problem]:
    """Yield the problems of `at` and `builtin` of every attribute, with their lines."""
    names = vendor_names()
    for attribute in catalog.attributes.values():
        for key, vendors in (("at", attribute.at), ("builtin", attribute.builtin)):
            for name in vendors:
                if name not in names:
                    yield _unknown_vendor_problem(name, key, attribute, catalog)
        for name in attribute.builtin:
            if name in names:
                yield from _builtin_problems(get_vendor(name), attribute, catalog)
        for name in attribute.at:
            if name in names and name not in attribute.builtin:
                yield from _at_problems(get_vendor(name), attribute, catalog)


def _unknown_vendor_problem(name: str, key: str, attribute: CatalogAttribute, catalog: Catalog) -> Problem:
    hint = did_you_mean(name, vendor_names()) or f"use some of {', '.join(vendor_names())}"
    message = f"{attribute.name}.{key}: unknown vendor {name!r}"
    return line_problem("unknown-vendor", message, catalog.text, attribute.name, key, hint)


def _builtin_problems(vendor: Vendor, attribute: CatalogAttribute, catalog: Catalog) -> Iterator[Problem]:
    """Yield why *attribute* cannot be what *vendor* keeps by itself."""
    if attribute.name not in vendor.builtins:
        known = ", ".join(vendor.builtins) or "nothing"
        hint = (
            did_you_mean(attribute.name, vendor.builtins) or f'it keeps {known}; at = ["{vendor.name}"] means your own'
        )
        message = f"{vendor.name} keeps no {attribute.name} by itself"
        yield line_problem("no-builtin", message, catalog.text, attribute.name, "builtin", hint)
    elif vendor.name in attribute.at:
        hint = f"keep `builtin` if {vendor.name} finds the values itself, `at` if you set them"
        message = f"{attribute.name} is both at {vendor.name} and its built-in"
        yield line_problem("two-meanings", message, catalog.text, attribute.name, "builtin", hint)
    elif other_types := list_vendor_types(attribute, vendor) - {attribute.name}:
        message = f"the names of {attribute.name} at {vendor.name} are those of {', '.join(sorted(other_types))}"
        hint = f"name values of {vendor.builtins[attribute.name]}, or leave {vendor.name} out of `builtin`"
        yield line_problem("two-meanings", message, catalog.text, attribute.name, "builtin", hint)


def _at_problems(vendor: Vendor, attribute: CatalogAttribute, catalog: Catalog) -> Iterator[Problem]:
    """Yield why *vendor* cannot have the tags of *attribute* under its own name."""
    for tag in _listed_tags(attribute, vendor.name):
        vendor_tag = format_vendor_tag(tag, attribute, vendor)
        for problem in vendor.tag_problems(vendor_tag):
            hint = problem.hint
            if problem.code == "no-name" and attribute.name in vendor.builtins:
                hint = (
                    f'write builtin = ["{vendor.name}"] for what it keeps by itself, or names.{vendor.name} for yours'
                )
            elif problem.code == "no-name":
                hint = f'write names.{vendor.name} = "{{type}}_{{value}}"'
            message = f"{render(tag)} at {vendor.name}: {problem.message}"
            yield line_problem(problem.code, message, catalog.text, attribute.name, "at", hint)


def _listed_tags(attribute: CatalogAttribute, vendor: str) -> list[Tag]:
    """Return the tags that `at` lists literally, or one for all."""
    patterns = attribute.at[vendor]
    if patterns is None:
        return [Tag(attribute.name, value) for value in attribute.values or (sample_value(attribute),)]
    literals = [pattern for pattern in patterns if not any(char in pattern for char in GLOB_CHARS)]
    return [Tag(attribute.name, value) for value in literals or (sample_value(attribute),)]


def sample_value(attribute: CatalogAttribute) -> str:
    """Return a value that an open attribute may have."""
    return {"number": "1", "date": "2020-04-08", "version": "1.0"}.get(attribute.order or "", "x")

"""Find which tags a catalog declares that a vendor has, and refuse the others.

A tag that only the index has is not the vendor's: a request that names it would reach other devices, or none. So a
plan with an index names only what the catalog declares by `names`, `at` or `builtin`, or what the user vouches for.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache

from audience.errors import Problem
from audience.language.ast import AttributeAtom, Expr, Tag, atoms
from audience.language.attribute_names import UNTYPED
from audience.language.platforms import PLATFORM_TYPE
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog, CatalogAttribute, without_listed_values
from audience.planning.catalog.vendor_names import (
    find_matching_tags,
    find_name,
    find_written_naming,
    is_own_key,
    to_vendor_tag,
    vendor_family,
)
from audience.planning.vouching import Vouched
from audience.vendors.payload_reader import dump_json
from audience.vendors.spec import Payload, Unsupported, Vendor
from audience.vendors.value_names import list_undocumented_values, read_value

MAX_LISTED = 8  # tags that a message lists
NOT_AT_VENDOR = "not-at-vendor"  # code of tags that the vendor is not known to have


def restrict_to_declared(
    vendor: Vendor, catalog: Catalog | None, vouched: Vouched, has_devices: Callable[[Tag], bool]
) -> Vendor:
    """Return *vendor* without the tags that are neither declared nor vouched for.

    The functions of *vendor* already translate the names of *catalog*.

    Args:
        vendor: Vendor to restrict.
        catalog: Catalog that declares tags.
        vouched: Types that are not restricted.
        has_devices: Returns whether any device of the index has a tag.
    """

    def emit(expr: Expr) -> Payload:
        undeclared = [atom for atom in find_undeclared(expr, catalog, vendor) if atom.type not in vouched]
        clashes = [problem for atom in atoms(expr) if isinstance(atom, Tag) for problem in clash_problems(atom)]
        if not undeclared and not clashes:
            return vendor.emit(expr)
        problems = _emit_problems(expr, vendor) + clashes
        nameable = [atom for atom in undeclared if not _emit_problems(atom, vendor)]
        if nameable or not problems:
            problems.insert(0, _not_at_vendor_problem(nameable or undeclared, catalog, vendor))
        raise Unsupported(problems)

    def tag_problems(tag: Tag) -> list[Problem]:
        problems = [*vendor.tag_problems(tag), *clash_problems(tag)]
        if not problems and not has_tag(tag):
            problems.append(_not_at_vendor_problem([tag], catalog, vendor))
        return problems

    def has_tag(tag: Tag) -> bool:
        return tag.type in vouched or is_declared(tag, catalog, vendor)

    open_catalog = None if catalog is None else without_listed_values(catalog)

    def may_have_tag(tag: Tag) -> bool:
        attribute = None if open_catalog is None else open_catalog.attributes.get(tag.type)
        return tag.type in vouched or (attribute is not None and _may_have_value(tag, attribute, vendor))

    @cache
    def clash_problems(tag: Tag) -> tuple[Problem, ...]:
        """Return a problem if another tag of the index, which the vendor may have too, is called there as *tag* is.

        Names are given to values that the catalog does not list, since the vendor may have these as well.
        """
        if catalog is None or open_catalog is None:
            return ()
        name = to_vendor_tag(tag, catalog, vendor)
        others = [*find_matching_tags(name, open_catalog, vendor, tag)]
        others += [name] if to_vendor_tag(name, open_catalog, vendor) == name else []
        for other in others:
            if other != tag and may_have_tag(other) and has_devices(other):
                message = f"{render(name)!r} at {vendor.name} is both {render(tag)} and {render(other)} of the index"
                return (Problem("ambiguous-name", message, tag.span),)
        return ()

    return replace(vendor, emit=emit, tag_problems=tag_problems)


def _emit_problems(expr: Expr, vendor: Vendor) -> list[Problem]:
    """Return why *vendor* cannot express *expr*, whatever tags it has."""
    try:
        vendor.emit(expr)
    except Unsupported as error:
        return list(error.problems)
    return []


def find_undeclared(expr: Expr, catalog: Catalog | None, vendor: Vendor) -> list[AttributeAtom]:
    """Return the tags and comparisons of *expr* of which *catalog* does not say that *vendor* has them."""
    return [atom for atom in atoms(expr) if isinstance(atom, AttributeAtom) and not is_declared(atom, catalog, vendor)]


def is_declared(atom: AttributeAtom, catalog: Catalog | None, vendor: Vendor) -> bool:
    """Return whether *catalog* says that *vendor* has a tag, or all values that a comparison may ask for."""
    attribute = None if catalog is None else catalog.attributes.get(atom.type)
    if attribute is None:
        return False
    if isinstance(atom, Tag):
        return _has_tag(atom, attribute, vendor)
    return _has_all_values(attribute, vendor)


def _has_tag(tag: Tag, attribute: CatalogAttribute, vendor: Vendor) -> bool:
    is_listed = not attribute.values or tag.value in attribute.listed
    return is_listed and _may_have_value(tag, attribute, vendor)


def _may_have_value(tag: Tag, attribute: CatalogAttribute, vendor: Vendor) -> bool:
    """Return whether *vendor* has the attribute with any value that *tag* may have, listed by the catalog or not."""
    if find_written_naming(attribute, vendor) is None:
        is_named = is_builtin(attribute, vendor)
    else:
        is_named = find_name(tag, attribute, vendor) is not None
    return is_named or _is_at(tag.value, attribute, vendor)


def _has_all_values(attribute: CatalogAttribute, vendor: Vendor) -> bool:
    naming = find_written_naming(attribute, vendor)
    if isinstance(naming, Mapping):
        return _is_at(None, attribute, vendor)
    return naming is not None or is_builtin(attribute, vendor) or _is_at(None, attribute, vendor)


def is_builtin(attribute: CatalogAttribute, vendor: Vendor) -> bool:
    """Return whether the catalog says that *attribute* is what *vendor* keeps by itself."""
    return any(name in attribute.builtin for name in vendor_family(vendor))


def _is_at(value: str | None, attribute: CatalogAttribute, vendor: Vendor) -> bool:
    """Return whether `at` lists *value* of *attribute*, or all values if *value* is None."""
    listed = [attribute.at[name] for name in vendor_family(vendor) if name in attribute.at]
    if not listed:
        return False
    patterns = listed[0]
    return patterns is None or (value is not None and any(_matches(value, pattern) for pattern in patterns))


def _matches(value: str, pattern: str) -> bool:
    return value == pattern or fnmatchcase(value, pattern)


def _not_at_vendor_problem(undeclared: Sequence[AttributeAtom], catalog: Catalog | None, vendor: Vendor) -> Problem:
    """Return one problem for all *undeclared* tags and comparisons, with the lines to add to the catalog."""
    message = f"the vendor is not known to have {_list_names(undeclared)}"
    types = dict.fromkeys(atom.type for atom in undeclared)
    lines = [
        _suggest_line(type_, [atom for atom in undeclared if atom.type == type_], catalog, vendor) for type_ in types
    ]
    hint = f"add to the catalog: {'; '.join(lines)}; or vouch: --vendor-has {','.join(types)}"
    return Problem(NOT_AT_VENDOR, message, undeclared[0].span, hint=hint)


def _suggest_line(type_: str, undeclared: Sequence[AttributeAtom], catalog: Catalog | None, vendor: Vendor) -> str:
    """Return the table and the key that declare *undeclared*, all of one type."""
    table = f"[{type_}]" if re.fullmatch("[A-Za-z0-9_-]+", type_) else f"[{dump_json(type_)}]"
    if _means_builtin(type_, catalog, vendor):
        return f'{table} builtin = ["{vendor.name}"]'
    tags = [atom for atom in undeclared if isinstance(atom, Tag)]
    if type_ == UNTYPED and len(tags) == len(undeclared):
        values = ", ".join(dump_json(tag.value) for tag in tags[:MAX_LISTED])
        more = ", …" if len(tags) > MAX_LISTED else ""
        return f"{table} at = {{ {vendor.name} = [{values}{more}] }}"
    return f'{table} at = ["{vendor.name}"]'


def _list_names(named: Sequence[AttributeAtom]) -> str:
    """Return the tags and the compared attributes of *named*, a long list shortened.

    >>> from audience.language.ast import Compare
    >>> _list_names([Tag("tag", "vip"), Compare("age", "<", "30"), Compare("age", ">", "20")])
    'vip, age'
    """
    names = list(dict.fromkeys(render(atom) if isinstance(atom, Tag) else atom.type for atom in named))
    shown = ", ".join(names[:MAX_LISTED])
    return shown if len(names) <= MAX_LISTED else f"{shown} and {len(names) - MAX_LISTED:,} more"


def list_assumed_tags(
    exprs: Iterable[Expr], catalog: Catalog | None, vendor: Vendor, vouched: Vouched
) -> list[Problem]:
    """Return what native requests of *exprs* take for granted about the tags that *vendor* has.

    Tags that are declared are not named. Attributes that the vendor keeps by itself have an assumption of their own.
    """
    exprs = list(exprs)
    undeclared = list(dict.fromkeys(atom for expr in exprs for atom in find_undeclared(expr, catalog, vendor)))
    builtin_types = {atom.type for atom in undeclared if _means_builtin(atom.type, catalog, vendor)}
    taken = [atom for atom in undeclared if atom.type not in builtin_types and atom.type not in vouched]
    vouched_for = [atom for atom in undeclared if atom.type in vouched]
    assumptions = []
    if taken:
        message = f"{vendor.name} has these tags: {_list_names(taken)}"
        assumptions.append(Problem("vendor-tags", message))
    if vouched_for:
        message = f"{vendor.name} has these tags, as --vendor-has vouches for: {_list_names(vouched_for)}"
        assumptions.append(Problem("vendor-has", message))
    types = dict.fromkeys(atom.type for atom in undeclared if atom.type in builtin_types - {PLATFORM_TYPE})
    if types:  # a request that names platforms has an assumption of its own
        names = ", ".join(_name_builtin(type_, vendor) for type_ in types)
        assumptions.append(Problem("builtin", f"{vendor.name}'s own {names} is meant"))
    if undocumented := _find_undocumented_values(exprs, catalog, vendor):
        message = f"{vendor.name} writes these values of its own attributes as here: {_list_names(undocumented)}"
        assumptions.append(Problem("builtin-values", message))
    return assumptions


def _find_undocumented_values(exprs: Iterable[Expr], catalog: Catalog | None, vendor: Vendor) -> list[Tag]:
    """Return the tags that a request names by words which no page of *vendor* documents."""
    tags = dict.fromkeys(atom for expr in exprs for atom in atoms(expr) if isinstance(atom, Tag))
    attributes = {} if catalog is None else catalog.attributes
    own = [
        tag
        for tag in tags
        if _means_builtin(tag.type, catalog, vendor)
        and (tag.type not in attributes or find_name(tag, attributes[tag.type], vendor) is None)
    ]
    return list_undocumented_values([read_value(tag, vendor.value_names) for tag in own], vendor.value_names)


def _name_builtin(type_: str, vendor: Vendor) -> str:
    """Return *type_*, with the vendor's name for it if that is another one."""
    name = vendor.builtins[type_]
    return type_ if name == type_ else f"{type_} ({name})"


def _means_builtin(type_: str, catalog: Catalog | None, vendor: Vendor) -> bool:
    attribute = None if catalog is None else catalog.attributes.get(type_)
    return type_ in vendor.builtins and not (attribute is not None and is_own_key(attribute, vendor))

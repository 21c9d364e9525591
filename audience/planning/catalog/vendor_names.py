"""Translate tags between a catalog and a vendor, in both directions.

A pattern such as `{type}_{value}` is formatted to get the vendor's name, and matched to get the tag back:

    catalog tag           naming                          vendor tag
    province:hunan        "{type}_{value}"                province_hunan
    province:hunan        "xg_auto_province.{value}"      the vendor's type province, value hunan
    province:hunan        { hunan = "省份_湖南" }          省份_湖南
    active:2020-04-08     "{value:%Y%m%d}"                20200408
    language:zh           at = ["onesignal"]              attribute.language:zh, not OneSignal's own language
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from typing import TypeAlias

from audience.algebra.request_shape import ListsByKey, RequestShape
from audience.errors import PayloadError, Problem
from audience.language.ast import Anniversary, Atom, AttributeAtom, Expr, Has, Matches, Relative, Tag, atoms, map_atoms
from audience.language.attribute_names import BUILTIN_TYPES, OWN_KEY_PREFIX, UNTYPED
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog, CatalogAttribute
from audience.planning.catalog.name_index import VALUE_PATTERN, AttributeNames, NameIndex, build_name_index
from audience.planning.catalog.positions import line_problem
from audience.span import Span
from audience.vendors.spec import Payload, Unsupported, Vendor
from audience.vendors.value_names import list_values_hint, read_value, write_value

FindTags: TypeAlias = Callable[[Tag], tuple[Tag, ...]]  # the catalog's tags for a tag of the vendor, one or more

READ_HINT = "correct the names in the catalog: each vendor name must mean exactly one tag"


def with_catalog_names(vendor: Vendor, catalog: Catalog | None) -> Vendor:
    """Return *vendor* with functions that take and return tags of *catalog* instead of its own."""
    if catalog is None:
        return vendor

    @cache  # asked when a tag is written, and again when it is read back
    def find_tags(vendor_tag: Tag) -> tuple[Tag, ...]:
        return tuple(find_candidate_tags(vendor_tag, catalog, vendor))

    def emit(expr: Expr) -> Payload:
        problems = [problem for atom in atoms(expr) for problem in _name_problems(atom, find_tags, catalog, vendor)]
        if problems:
            raise Unsupported(problems)
        try:
            return vendor.emit(rename(expr))
        except Unsupported as error:
            tags = [atom for atom in atoms(expr) if isinstance(atom, Tag)]
            located = dict(pair for tag in tags for pair in _locate_problems(tag, catalog, vendor))
            raise Unsupported(located.get(problem, problem) for problem in error.problems) from None

    def rename(expr: Expr) -> Expr:
        return map_atoms(expr, lambda atom: _to_vendor_atom(atom, catalog, vendor))

    def tag_problems(tag: Tag) -> list[Problem]:
        located = [problem for _, problem in _locate_problems(tag, catalog, vendor)]
        return [*located, *_name_problems(tag, find_tags, catalog, vendor)]

    def parse(payload: object) -> Expr:
        return map_atoms(vendor.parse(payload), lambda atom: _read_atom(atom, find_tags, catalog, vendor))

    @cache  # a proof asks for every tag several times
    def view(atom: Atom) -> Expr:
        return _view_atom(atom, catalog, vendor)

    if vendor.read_only_reason:
        return replace(vendor, parse=parse)
    return replace(
        vendor,
        parse=parse,
        emit=emit,
        view=view,
        tag_problems=tag_problems,
        assumptions=lambda expr: vendor.assumptions(rename(expr)),
        shape=_rename_shape_keys(vendor.shape, catalog, vendor),
    )


def _rename_shape_keys(shape: RequestShape, catalog: Catalog, vendor: Vendor) -> RequestShape:
    """Return *shape* with keys that are computed from the vendor names of tags."""
    if not isinstance(shape, ListsByKey):
        return shape
    return replace(shape, key=lambda tag: shape.key(to_vendor_tag(tag, catalog, vendor)))


def _to_vendor_atom(atom: Atom, catalog: Catalog, vendor: Vendor) -> Atom:
    match atom:
        case Tag():
            return to_vendor_tag(atom, catalog, vendor)
        case _ if isinstance(atom, AttributeAtom):
            return replace(atom, type=to_vendor_type(atom.type, catalog, vendor) or atom.type)
    return atom


def _view_atom(atom: Atom, catalog: Catalog, vendor: Vendor) -> Expr:
    """Return *atom* as *vendor* sees it, with the type of the catalog; an atom with other names is kept."""
    if not isinstance(atom, AttributeAtom):
        return vendor.view(atom)
    type_, vendor_type = atom.type, to_vendor_type(atom.type, catalog, vendor)
    if vendor_type is None:
        return atom
    viewed = vendor.view(replace(atom, type=vendor_type))
    return map_atoms(
        viewed,
        lambda each: (
            replace(each, type=type_) if isinstance(each, AttributeAtom) and each.type == vendor_type else each
        ),
    )


def _name_problems(atom: Atom, find_tags: FindTags, catalog: Catalog, vendor: Vendor) -> Iterator[Problem]:
    """Yield why *atom* cannot be named: another tag has its name, or a comparison has names for single values."""
    match atom:
        case Tag():
            vendor_tag = to_vendor_tag(atom, catalog, vendor)
            yield from _pattern_problems(atom, catalog, vendor)
            for tag in find_tags(vendor_tag):
                if tag != _spell_tag(atom, catalog):
                    message = f"{render(vendor_tag)!r} at {vendor.name} is {render(tag)}, not {render(atom)}"
                    is_respelled = vendor_tag == read_value(atom, vendor.value_names)
                    hint = list_values_hint(atom) if is_respelled else None
                    yield Problem("ambiguous-name", message, atom.span, hint=hint)
        case _ if isinstance(atom, AttributeAtom):
            vendor_type = to_vendor_type(atom.type, catalog, vendor)
            if vendor_type is None:
                message = f"{render(atom)!r} cannot be asked: {vendor.name} has names for single values of {atom.type}"
                yield Problem(_refusal_code(atom), message, atom.span)
            elif others := find_same_types(atom.type, vendor_type, catalog, vendor):
                message = f"{vendor_type} at {vendor.name} is {others[0]}, not {atom.type}"
                yield Problem("ambiguous-name", message, atom.span)


def _refusal_code(atom: AttributeAtom) -> str:
    match atom:
        case Has():
            return "no-existence"
        case Matches():
            return "no-pattern"
        case Relative() | Anniversary():
            return "no-time"
    return "no-ranges"


def _pattern_problems(tag: Tag, catalog: Catalog, vendor: Vendor) -> Iterator[Problem]:
    """Yield why the pattern of the names of *tag* cannot be used, with its line in the catalog."""
    attribute = catalog.attributes.get(tag.type)
    if attribute is not None and (reason := find_pattern_problem(attribute, vendor)):
        problem = _locate_problem(Problem("not-reversible", reason), attribute, catalog, vendor)
        yield replace(problem, span=tag.span)


def _locate_problems(tag: Tag, catalog: Catalog, vendor: Vendor) -> Iterator[tuple[Problem, Problem]]:
    """Yield the problems that *vendor* has with its name of *tag*, each also with the line of the catalog."""
    attribute = catalog.attributes.get(tag.type)
    vendor_tag = to_vendor_tag(tag, catalog, vendor)
    for problem in vendor.tag_problems(vendor_tag):
        is_named = attribute is not None and find_name(tag, attribute, vendor) is not None
        if attribute is None:
            yield problem, problem
        elif not is_named:
            yield problem, _missing_name_problem(problem, tag, attribute, vendor)
        else:
            named = replace(problem, message=f"{render(tag)}: {problem.message}")
            yield problem, _locate_problem(named, attribute, catalog, vendor)


def _missing_name_problem(problem: Problem, tag: Tag, attribute: CatalogAttribute, vendor: Vendor) -> Problem:
    """Return *problem* of a tag without a name; if the catalog has names of other values, say that this one lacks."""
    if problem.code != "no-name" or not isinstance(find_written_naming(attribute, vendor), Mapping):
        return problem
    hint = f"add it to the names of {vendor.name} in [{attribute.name}]"
    return Problem("no-name", f"the catalog has no name of {render(tag)} at {vendor.name}", tag.span, hint=hint)


def _locate_problem(problem: Problem, attribute: CatalogAttribute, catalog: Catalog, vendor: Vendor) -> Problem:
    """Return *problem* with the line of the names of *attribute* at *vendor*."""
    key = next((name for name in vendor_family(vendor) if name in attribute.names), "")
    located = line_problem(problem.code, problem.message, catalog.text, attribute.name, key)
    return replace(problem, message=f"catalog, {located.message}")


def _spell_tag(tag: Tag, catalog: Catalog) -> Tag:
    """Return *tag* with its value as the catalog spells it."""
    attribute = catalog.attributes.get(tag.type)
    return tag if attribute is None else Tag(tag.type, attribute.spelling(tag.value), span=tag.span)


def _read_atom(atom: Atom, find_tags: FindTags, catalog: Catalog, vendor: Vendor) -> Atom:
    """Return the catalog's atom for *atom* of *vendor*, or raise PayloadError if it is ambiguous."""
    match atom:
        case Tag():
            return _read_key(atom, catalog, vendor) or _read_tag(atom, find_tags, catalog, vendor)
        case _ if isinstance(atom, AttributeAtom):
            return replace(atom, type=_read_type(atom.type, catalog, vendor))
    return atom


def _read_type(vendor_type: str, catalog: Catalog, vendor: Vendor) -> str:
    """Return the catalog's type of comparisons of *vendor_type*, or raise PayloadError if there are several or none."""
    types = find_same_types(vendor_type, vendor_type, catalog, vendor)
    is_itself = to_vendor_type(vendor_type, catalog, vendor) == vendor_type
    if is_itself and not types:
        return vendor_type
    if len(types) == 1 and (not is_itself or vendor_type not in catalog.attributes):
        return types[0]
    other = f"{types[0]} and {vendor_type if is_itself else types[1]}" if types else "an attribute with other names"
    raise _ambiguous_name_error(f"{vendor_type} at {vendor.name} is {other}")


def _read_key(vendor_tag: Tag, catalog: Catalog, vendor: Vendor) -> Has | None:
    """Return `has(ATTRIBUTE)` if *vendor_tag* is the key of an attribute and not the name of a tag of the catalog."""
    viewed = vendor.view(vendor_tag) if vendor_tag.type == UNTYPED else vendor_tag
    if not isinstance(viewed, Has) or any(find_matching_tags(vendor_tag, catalog, vendor)):
        return None
    names = [name for name in catalog.attributes if to_vendor_type(name, catalog, vendor) == viewed.type]
    return replace(viewed, type=names[0]) if names else None


def _read_tag(vendor_tag: Tag, find_tags: FindTags, catalog: Catalog, vendor: Vendor) -> Tag:
    """Return the catalog's tag for *vendor_tag*, or raise PayloadError if there are several or none."""
    found, *others = find_tags(vendor_tag)
    tag = replace(found, span=vendor_tag.span)
    if tag != vendor_tag and (unusable := [*_pattern_problems(tag, catalog, vendor)]):
        raise _ambiguous_name_error(f"{render(vendor_tag)!r} at {vendor.name}: {unusable[0].message}")
    if others:
        message = f"{render(vendor_tag)!r} at {vendor.name} is both {render(tag)} and {render(others[0])}"
        raise _ambiguous_name_error(message)
    if tag == vendor_tag and (renamed := to_vendor_tag(vendor_tag, catalog, vendor)) != vendor_tag:
        message = f"{render(vendor_tag)!r} is not a name at {vendor.name}, which calls that tag {render(renamed)}"
        raise _ambiguous_name_error(message)
    return tag


def _ambiguous_name_error(message: str) -> PayloadError:
    return PayloadError(Problem("ambiguous-name", message, path="$", hint=READ_HINT))


def find_same_types(type_: str, vendor_type: str, catalog: Catalog, vendor: Vendor) -> list[str]:
    """Return the other attributes than *type_* whose tags have names of *vendor_type* at *vendor*."""
    return [
        name
        for name, attribute in catalog.attributes.items()
        if name != type_ and vendor_type in list_vendor_types(attribute, vendor) - {UNTYPED}
    ]


def list_vendor_types(attribute: CatalogAttribute, vendor: Vendor) -> set[str]:
    """Return the types of the names that *attribute* has at *vendor*."""
    naming = _find_naming(attribute, vendor)
    names = [*naming.values()] if isinstance(naming, Mapping) else [naming] if naming else []
    types = {_parse_vendor_name(name.replace("{type}", attribute.name), vendor).type for name in names}
    return types | {own_type(attribute)} if is_own_key(attribute, vendor) else types


def to_vendor_type(type_: str, catalog: Catalog, vendor: Vendor) -> str | None:
    """Return the vendor's type for comparisons of *type_*, or None if it writes single values differently."""
    attribute = catalog.attributes.get(type_)
    naming = None if attribute is None else _find_naming(attribute, vendor)
    if isinstance(naming, str):
        vendor_tag = _parse_vendor_name(naming.replace("{type}", type_), vendor)
        return vendor_tag.type if vendor_tag.value == "{value}" and vendor_tag.type != UNTYPED else None
    if naming is not None:
        return None
    return own_type(attribute) if attribute is not None and is_own_key(attribute, vendor) else type_


def is_own_key(attribute: CatalogAttribute, vendor: Vendor) -> bool:
    """Return whether the tags without a name of *attribute* are the customer's own at *vendor*, never built-in ones.

    Where the catalog says nothing, the type is a word of the vocabulary that all vendors share.
    """
    names = vendor_family(vendor)
    if any(name in attribute.builtin for name in names):
        return False
    return any(name in attribute.names or name in attribute.at for name in names)


def own_type(attribute: CatalogAttribute) -> str:
    """Return the type that the customer's own tags of *attribute* have at every vendor."""
    return f"{OWN_KEY_PREFIX}{attribute.name}" if attribute.name in BUILTIN_TYPES else attribute.name


def vendor_family(vendor: Vendor) -> tuple[str, ...]:
    """Return the vendors whose entries in a catalog also hold for *vendor*, itself first."""
    return vendor.name, *vendor.id_columns


def to_vendor_tag(tag: Tag, catalog: Catalog, vendor: Vendor) -> Tag:
    """Return the vendor's tag for *tag*, or *tag* if the catalog has no name for it."""
    attribute = catalog.attributes.get(tag.type)
    return tag if attribute is None else format_vendor_tag(tag, attribute, vendor)


def format_vendor_tag(tag: Tag, attribute: CatalogAttribute, vendor: Vendor) -> Tag:
    """Return the vendor's tag for *tag* of *attribute*: by its name, else of the customer's own type, else *tag*."""
    name = find_name(tag, attribute, vendor)
    if name is None:
        own_key = is_own_key(attribute, vendor)
        return replace(tag, type=own_type(attribute)) if own_key else read_value(tag, vendor.value_names)
    return _parse_vendor_name(name.replace("{type}", tag.type), vendor, tag.span)


def find_pattern_problem(attribute: CatalogAttribute, vendor: Vendor) -> str | None:
    """Return why values cannot be read back from the pattern of the names of *attribute* at *vendor*, or None."""
    naming = find_written_naming(attribute, vendor)
    if not isinstance(naming, str):
        return None
    placeholders = VALUE_PATTERN.findall(naming)
    if not placeholders:
        return f"{naming!r} gives all values the same name; add {{value}}"
    if len(placeholders) > 1:
        return f"{naming!r} contains {{value}} twice; use it once"
    untyped = ["", *(f"{word}." for word, type_ in vendor.type_aliases.items() if type_ == UNTYPED)]
    if not attribute.values and VALUE_PATTERN.sub("", naming) in untyped:
        return f"{naming!r} matches every untyped tag; add {{type}}, or list the values"
    if placeholders[0] and not _can_read_back(placeholders[0]):
        return f"{naming!r} is not a day that can be read back; use %Y, %m and %d"
    return None


def _can_read_back(date_format: str) -> bool:
    day = date(2020, 4, 8)
    try:
        return datetime.strptime(day.strftime(date_format), date_format).date() == day
    except ValueError:
        return False


def find_name(tag: Tag, attribute: CatalogAttribute, vendor: Vendor) -> str | None:
    """Return the name of *tag* of *attribute* at *vendor*, or None if it has no other name there."""
    naming = _find_naming(attribute, vendor)
    value = attribute.spelling(tag.value)
    if isinstance(naming, Mapping):
        naming = naming.get(value)
    if naming is None or (attribute.values and value not in attribute.listed):
        return None
    try:
        return VALUE_PATTERN.sub(lambda match: _format_value(value, match[1]), naming)
    except ValueError:
        return None  # not a date, so the pattern has no name for it


def _find_naming(attribute: CatalogAttribute, vendor: Vendor) -> str | Mapping[str, str] | None:
    """Return the pattern or table of the vendor or its family, or the vendor's own format for dates."""
    naming = find_written_naming(attribute, vendor)
    if naming is None and attribute.order == "date" and not is_own_key(attribute, vendor):
        return vendor.date_formats.get(attribute.name)
    return naming


def find_written_naming(attribute: CatalogAttribute, vendor: Vendor) -> str | Mapping[str, str] | None:
    """Return the pattern or table that the catalog has for the vendor or its family."""
    for name in vendor_family(vendor) if attribute.names else ():
        if name in attribute.names:
            return attribute.names[name]
    return None


def _format_value(value: str, date_format: str | None) -> str:
    if not date_format:
        return value
    day = date.fromisoformat(value)
    # Some systems write the year 1 as "1", which cannot be read back.
    return day.strftime(re.sub("%[%Y]", lambda match: f"{day.year:04}" if match[0] == "%Y" else "%%", date_format))


def _parse_vendor_name(name: str, vendor: Vendor, span: Span | None = None) -> Tag:
    """Parse a name of the catalog: TYPE:VALUE if the vendor has typed tags, ALIAS.VALUE, or an untyped tag."""
    type_, _, typed_value = name.partition(":")
    if vendor.has_typed_tags and type_ and typed_value:
        return Tag(type_, typed_value, span=span)
    alias, _, value = name.partition(".")
    if value and alias in vendor.type_aliases:
        return read_value(Tag(vendor.type_aliases[alias], value, span=span), vendor.value_names)
    return Tag(UNTYPED, name, span=span)


def find_candidate_tags(vendor_tag: Tag, catalog: Catalog, vendor: Vendor) -> list[Tag]:
    """Return the catalog's tags for *vendor_tag*, or *vendor_tag* itself if there are none."""
    return list(find_matching_tags(vendor_tag, catalog, vendor)) or [vendor_tag]


def find_matching_tags(vendor_tag: Tag, catalog: Catalog, vendor: Vendor, known: Tag | None = None) -> Iterator[Tag]:
    """Yield every other tag of the catalog than *known* that *vendor* calls *vendor_tag*.

    In a valid catalog there is at most one. Matching a pattern only proposes values; formatting them again decides.
    """
    for attribute, values in _find_candidates(vendor_tag, catalog, vendor):
        for value in dict.fromkeys(map(attribute.spelling, values)):
            tag = Tag(attribute.name, value, span=vendor_tag.span)
            if tag not in (vendor_tag, known) and format_vendor_tag(tag, attribute, vendor) == vendor_tag:
                yield tag


def _find_candidates(vendor_tag: Tag, catalog: Catalog, vendor: Vendor) -> Iterator[tuple[CatalogAttribute, list[str]]]:
    """Yield the attributes that may call a tag *vendor_tag*, and the values to try, in the order of the catalog.

    A catalog may write the value in the vendor's own word.
    """
    index = _load_name_index(catalog, vendor)
    candidates: dict[int, list[str]] = {}
    for word in dict.fromkeys([vendor_tag.value, write_value(vendor_tag, vendor.value_names).value]):
        tag = Tag(vendor_tag.type, word)
        names = list(_list_names(tag, vendor))
        for position, values in index.find_candidates(tag, names).items():
            more = _candidate_values(tag, names, catalog.attributes[index.types[position]], vendor)
            candidates.setdefault(position, []).extend([*values, *more])
    for position, values in sorted(candidates.items()):
        yield catalog.attributes[index.types[position]], values


def _load_name_index(catalog: Catalog, vendor: Vendor) -> NameIndex:
    """Return the index of the names that *catalog* has for *vendor*, which is built once."""
    key = vendor.name, vendor.id_columns, tuple(vendor.date_formats.items())
    if key not in catalog.name_indexes:
        attributes = catalog.attributes.values()
        catalog.name_indexes[key] = build_name_index(_describe_names(attribute, vendor) for attribute in attributes)
    return catalog.name_indexes[key]


def _describe_names(attribute: CatalogAttribute, vendor: Vendor) -> AttributeNames:
    own = own_type(attribute) if is_own_key(attribute, vendor) else None
    spelled = _list_spelled_values(attribute, vendor)
    return AttributeNames(attribute.name, _find_naming(attribute, vendor), own, spelled)


def _list_spelled_values(attribute: CatalogAttribute, vendor: Vendor) -> Iterator[tuple[Tag, str]]:
    """Yield the vendor's tag for each listed value that is a documented word, which may be spelled otherwise."""
    types = {attribute.name, *list_vendor_types(attribute, vendor)}
    if not types.isdisjoint(vendor.value_names):
        for value in attribute.values or ():
            yield format_vendor_tag(Tag(attribute.name, value), attribute, vendor), value


def _candidate_values(
    vendor_tag: Tag, names: Iterable[str], attribute: CatalogAttribute, vendor: Vendor
) -> Iterator[str]:
    """Yield the values of *attribute* that *vendor* may call *vendor_tag*, by a pattern or as a tag of your own."""
    if is_own_key(attribute, vendor) and vendor_tag.type == own_type(attribute):
        yield vendor_tag.value
    naming = _find_naming(attribute, vendor)
    if isinstance(naming, str):
        for name in names:
            yield from _match_pattern(naming, attribute.name, name)


def _list_names(vendor_tag: Tag, vendor: Vendor) -> Iterator[str]:
    """Yield the names that a catalog can write for *vendor_tag*: VALUE, ALIAS.VALUE and TYPE:VALUE."""
    yield vendor_tag.value
    for alias, type_ in vendor.type_aliases.items():
        if type_ == vendor_tag.type:
            yield f"{alias}.{vendor_tag.value}"
    if vendor.has_typed_tags:
        yield f"{vendor_tag.type}:{vendor_tag.value}"


def _match_pattern(pattern: str, type_: str, name: str) -> Iterator[str]:
    """Yield the value for which *pattern* gives *name*, if any.

    "{type}_{value}_cn"    pattern
    "province_hunan_cn"    name
     ~~~~~~~~~     ~~~     prefix and suffix; the value is between them
    """
    placeholder = VALUE_PATTERN.search(pattern)
    if placeholder is None:
        return
    prefix = pattern[: placeholder.start()].replace("{type}", type_)
    suffix = pattern[placeholder.end() :].replace("{type}", type_)
    value = name[len(prefix) : len(name) - len(suffix)]
    if not value or name != f"{prefix}{value}{suffix}":
        return
    date_format = placeholder[1]
    if date_format is None:
        yield value
        return
    try:
        yield datetime.strptime(value, date_format).date().isoformat()
    except ValueError:
        return

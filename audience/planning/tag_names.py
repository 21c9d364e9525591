"""Tags that a sync sets at a vendor: those of some attributes of an index, with the names that a catalog gives them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from audience._fs.checksums import hash128
from audience.errors import PlanError, Problem
from audience.language.ast import Tag
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.planning.catalog.catalog import Catalog, CatalogAttribute, with_column_types
from audience.planning.catalog.declared import NOT_AT_VENDOR, is_declared
from audience.planning.catalog.value_keys import value_keys_of
from audience.planning.catalog.vendor_names import (
    find_matching_tags,
    find_written_naming,
    is_own_key,
    list_vendor_types,
    own_type,
    to_vendor_tag,
    vendor_family,
    with_catalog_names,
)
from audience.tag_sync.tags import LeftOutTag, NamedScope, Scope, SyncedTag, TagNames
from audience.vendors.payload_reader import dump_json
from audience.vendors.spec import Vendor

if TYPE_CHECKING:  # it loads slowly
    from audience.index.storage.snapshot import Snapshot

AMBIGUOUS, BUILTIN = "ambiguous-name", "builtin-tag"
DEFAULT_PATTERN = "{type}_{value}"
TYPE_SEPARATOR = ":"
OWN_NAMES_HINT = "give each a name of its own in the catalog"
MAX_LINES = 2  # of a catalog that a hint suggests
MAX_ATTRIBUTES = 8  # of an index that a hint lists


def resolve_tag_names(
    attributes: Iterable[str] | str | None,
    vendor: Vendor,
    catalog: Catalog | None,
    snapshot: "Snapshot",
    synced: Mapping[str, NamedScope] | None = None,
    *,
    may_be_empty: bool = False,
) -> TagNames:
    """Return the tags of *snapshot* that a sync is about, with their names at *vendor*.

    Args:
        attributes: Names of attributes, and bare tags; text has them between commas. None is every attribute that
            *catalog* says is set at *vendor*, and that the index has.
        vendor: Vendor, as `get_vendor` returns it.
        catalog: Catalog with the names.
        snapshot: Snapshot of the index.
        synced: Attributes of earlier syncs of the application: one that the index has no more may be named, and its
            tags are removed.
        may_be_empty: Whether a catalog may name nothing that the index has, as by a sync that only removes tags.

    Raises:
        PlanError: The index has no such attribute, the catalog does not name it, its name is a built-in of the vendor,
            or two tags have one name.
    """
    catalog = with_column_types(catalog, snapshot.roles, snapshot.zone)
    named = _default_attributes(vendor, catalog, snapshot)
    if attributes is not None:
        wanted = _split_names(attributes) if isinstance(attributes, str) else [*attributes]
        named, default = _read_attributes(wanted, vendor, catalog, snapshot, synced or {}), named
    else:
        default = named
        if not named and not may_be_empty:
            raise PlanError(_nothing_named(vendor, catalog, snapshot))
    scope = TagNames(named).scope
    found = _name_tags(scope, vendor, catalog, snapshot)
    other_scope = TagNames(default).scope - scope
    others = _name_tags(other_scope, vendor, catalog, snapshot)
    problems = [*found.refused, *_find_clashes([*found.candidates, *others.candidates], found.candidates, vendor)]
    if attributes is not None:
        problems += _find_nameless(named, found, vendor)
    if problems:
        raise PlanError(*problems)
    return TagNames(named, found.names, tuple(found.left_out), other_scope)


def find_synced_tag(
    name: str, names: TagNames, vendor: Vendor, catalog: Catalog | None, snapshot: "Snapshot"
) -> SyncedTag | None:
    """Return the tag of a sync that *vendor* calls *name*, also one that no device of the index has; None if none.

    A name that the catalog also gives to a tag that the sync is not about is none, unless the index has the tag.

    Args:
        name: Name of a tag, as the vendor returns it.
        names: What the sync is about.
        vendor: Vendor.
        catalog: Catalog with the names.
        snapshot: Snapshot of the index.
    """
    for synced in names.names.values():
        if synced.name == name:
            return synced
    catalog = with_column_types(catalog, snapshot.roles, snapshot.zone)
    if catalog is None:
        return None
    vendor_tag = parse_vendor_name(name, vendor)
    if _is_unusable(vendor_tag, vendor):
        return None  # no native request can name it, and perhaps no call can remove it
    owners = [
        tag
        for tag in (*find_matching_tags(vendor_tag, catalog, vendor), vendor_tag)
        if is_declared(tag, catalog, vendor) and to_vendor_tag(tag, catalog, vendor) == vendor_tag
    ]
    if not owners or not all(tag in names.scope for tag in owners):
        return None  # it may be that of an attribute that the sync is not about
    return SyncedTag(Tag(owners[0].type, owners[0].value), name)


def _is_unusable(vendor_tag: Tag, vendor: Vendor) -> bool:
    """Return whether requests or calls for tags cannot have the name of *vendor_tag*."""
    spec = vendor.tags
    name = format_vendor_name(vendor_tag)
    return any(vendor.tag_problems(vendor_tag)) or (spec is not None and any(spec.name_problems(name)))


def _default_attributes(vendor: Vendor, catalog: Catalog | None, snapshot: "Snapshot") -> dict[str, NamedScope]:
    attributes = {} if catalog is None else catalog.attributes
    return {
        name: NamedScope(Scope(frozenset({name})), _digest_naming(attribute, vendor))
        for name, attribute in attributes.items()
        if name in snapshot.roles and is_own_key(attribute, vendor) and not _is_builtin(attribute, vendor)
    }


def _is_builtin(attribute: CatalogAttribute, vendor: Vendor) -> bool:
    """Return whether all names of *attribute* at *vendor* are those of what the vendor keeps by itself."""
    types = list_vendor_types(attribute, vendor) - {own_type(attribute)}
    return bool(types) and types <= vendor.builtins.keys()


def _digest_naming(attribute: CatalogAttribute | None, vendor: Vendor) -> str:
    """Return a digest of what a catalog says of the names of *attribute* at *vendor*."""
    if attribute is None:
        return ""
    family = vendor_family(vendor)
    at = next((attribute.at[name] for name in family if name in attribute.at), False)
    is_builtin = any(name in attribute.builtin for name in family)
    naming = find_written_naming(attribute, vendor), at, is_builtin  # versions of a vendor share what is written so
    return hash128(repr((naming, attribute.values, attribute.order, str(attribute.zone))).encode())


def _split_names(text: str) -> list[str]:
    """Return the names in *text*, which are between commas. Raises PlanError if there is none."""
    names = [name.strip() for name in text.split(",")]
    if not any(names):
        hint = "write names between commas, or leave --attributes out for all that the catalog names at the vendor"
        raise PlanError(Problem("bad-option", f"--attributes names nothing: {text!r}", hint=hint))
    return names


def _read_attributes(
    wanted: Iterable[str],
    vendor: Vendor,
    catalog: Catalog | None,
    snapshot: "Snapshot",
    synced: Mapping[str, NamedScope],
) -> dict[str, NamedScope]:
    """Return what is named by the user, or raise PlanError with all problems."""
    named: dict[str, NamedScope] = {}
    problems: list[Problem] = []
    for name in dict.fromkeys(wanted):
        tag = _find_bare_tag(name, catalog, vendor, snapshot)
        attribute = None if catalog is None else catalog.attributes.get(name if tag is None else UNTYPED)
        if name in snapshot.roles:
            problems += _attribute_problems(name, attribute, vendor, is_synced=name in synced)
            named[name] = NamedScope(Scope(frozenset({name})), _digest_naming(attribute, vendor))
        elif tag is not None:
            if not is_declared(tag, catalog, vendor):
                problems.append(_undeclared(render(tag), _tag_line(tag, vendor), vendor))
            named[f"{UNTYPED}:{tag.value}"] = NamedScope(
                Scope(tags=frozenset({tag})), _digest_naming(attribute, vendor)
            )
        elif name in synced or f"{UNTYPED}:{name}" in synced:
            key = name if name in synced else f"{UNTYPED}:{name}"
            named[key] = synced[key]
        else:
            problems.append(_unknown(name, snapshot))
    if not named and not problems:
        problems.append(_nothing_named(vendor, catalog, snapshot))
    if problems:
        raise PlanError(*problems)
    return named


def _find_bare_tag(name: str, catalog: Catalog | None, vendor: Vendor, snapshot: "Snapshot") -> Tag | None:
    """Return the bare tag *name*, also as `tag:NAME`, if the index has it or the catalog declares it."""
    value = name.removeprefix(f"{UNTYPED}:")
    if not value:
        return None
    tag = Tag(UNTYPED, value)
    is_in_index = any(len(shard.rows_with_tag(tag.value)) for shard in snapshot.shards)
    is_listed = UNTYPED in snapshot.roles and name not in snapshot.roles and _lists(tag, catalog, vendor)
    return tag if is_in_index or is_listed else None


def _lists(tag: Tag, catalog: Catalog | None, vendor: Vendor) -> bool:
    """Return whether the catalog lists *tag* itself, and not all bare tags."""
    attribute = None if catalog is None else catalog.attributes.get(UNTYPED)
    return attribute is not None and tag.value in attribute.named_values and is_declared(tag, catalog, vendor)


def _attribute_problems(
    name: str, attribute: CatalogAttribute | None, vendor: Vendor, *, is_synced: bool
) -> Iterator[Problem]:
    """Yield why no tags of an attribute are set at *vendor*."""
    if attribute is not None and any(each in attribute.builtin for each in vendor_family(vendor)):
        message = f"the catalog says that {vendor.title} keeps {name} by itself, so a sync cannot set it"
        hint = f"leave it out, or give tags of your own names: {_attribute_line(name, vendor)}"
        yield Problem(BUILTIN, message, hint=hint)
    elif attribute is None or not is_own_key(attribute, vendor):
        line = _attribute_line(name, vendor)
        yield _undeclared(name, f"{line}; or remove what was synced: --remove-obsolete" if is_synced else line, vendor)


def _undeclared(name: str, line: str, vendor: Vendor) -> Problem:
    message = f"the catalog gives {name} no names at {vendor.name}"
    return Problem(NOT_AT_VENDOR, message, hint=f"add to the catalog: {line}")


def _attribute_line(name: str, vendor: Vendor) -> str:
    table = name if re.fullmatch("[A-Za-z0-9_-]+", name) else dump_json(name)
    pattern = DEFAULT_PATTERN if vendor.tags is None else vendor.tags.name_pattern
    if name == UNTYPED or (vendor.has_typed_tags and vendor.tags is None):
        return f'[{table}] at = ["{vendor.name}"]'
    return f'[{table}] names.{vendor.name} = "{pattern}"'


def _tag_line(tag: Tag, vendor: Vendor) -> str:
    return f"[{UNTYPED}] at = {{ {vendor.name} = [{dump_json(tag.value)}] }}"


def _unknown(name: str, snapshot: "Snapshot") -> Problem:
    message = f"the index has no attribute and no bare tag {name!r}"
    hint = did_you_mean(name, snapshot.roles) or f"it has {', '.join(list(snapshot.roles)[:MAX_ATTRIBUTES])}"
    return Problem("unknown-attribute", message, hint=hint)


def _nothing_named(vendor: Vendor, catalog: Catalog | None, snapshot: "Snapshot") -> Problem:
    lines = "; ".join(_attribute_line(name, vendor) for name in list(snapshot.roles)[:MAX_LINES])
    if catalog is None:
        message = f"a sync needs a catalog, which names attributes at {vendor.name}"
        hint = f"pass --catalog FILE, where FILE has a line for what is to be synced, such as {lines}"
    else:
        message = f"the catalog names no attribute of the index at {vendor.name}"
        hint = f"add a line for what is to be synced, such as {lines}"
    return Problem(NOT_AT_VENDOR, message, hint=hint)


@dataclass(slots=True)
class _NamedTags:
    """Tags of an index with their names at a vendor, those without one, and names that are the vendor's own.

    Attributes:
        names: Names of the tags that can be set.
        left_out: Tags that cannot.
        candidates: All tags that have a name, also those left out because the name may be that of another tag.
        refused: Names that mean what the vendor keeps by itself.
    """

    names: dict[Tag, SyncedTag] = field(default_factory=dict)
    left_out: list[LeftOutTag] = field(default_factory=list)
    candidates: dict[SyncedTag, None] = field(default_factory=dict)
    refused: list[Problem] = field(default_factory=list)


def _name_tags(scope: Scope, vendor: Vendor, catalog: Catalog | None, snapshot: "Snapshot") -> _NamedTags:
    """Return the vendor's name for each tag of *scope* that the index has."""
    from audience.tag_sync.index_values import (
        list_index_tags,
    )  # loads slowly, and plans without an index do not need it

    named_vendor, found = with_catalog_names(vendor, catalog), _NamedTags()
    builtin_types: set[str] = set()
    first_spellings: dict[tuple[str, object], Tag] = {}
    for tag in list_index_tags(snapshot, scope):
        keys = value_keys_of(snapshot.roles.get(tag.type), snapshot.zone)
        spelled = first_spellings.setdefault((tag.type, keys.tag(tag.value)), _spell_tag(tag, catalog))
        vendor_tag = spelled if catalog is None else to_vendor_tag(spelled, catalog, vendor)
        synced = SyncedTag(spelled, format_vendor_name(vendor_tag))
        problems = [*_name_problems(spelled, named_vendor, vendor, catalog)]
        problems = problems or [*find_call_problems(vendor_tag, vendor)]
        if not problems or problems[0].code == AMBIGUOUS:
            found.candidates[synced] = None
        if problems:
            found.left_out.append(LeftOutTag(tag, problems[0]))
        elif not _is_own_name(vendor_tag, vendor):
            found.refused += [] if tag.type in builtin_types else [_builtin_problem(spelled, vendor_tag, vendor)]
            builtin_types.add(tag.type)
        else:
            found.names[tag] = synced
    return found


def _is_own_name(vendor_tag: Tag, vendor: Vendor) -> bool:
    """Return whether a name at *vendor* is one that a server sets."""
    return vendor_tag.type == UNTYPED or (vendor.has_typed_tags and vendor_tag.type not in vendor.builtins)


def _spell_tag(tag: Tag, catalog: Catalog | None) -> Tag:
    """Return *tag* with its value as the catalog spells it."""
    attribute = None if catalog is None else catalog.attributes.get(tag.type)
    return tag if attribute is None else Tag(tag.type, attribute.spelling(tag.value))


def _name_problems(tag: Tag, named_vendor: Vendor, vendor: Vendor, catalog: Catalog | None) -> Iterator[Problem]:
    """Yield why *tag* has no name at *vendor*."""
    if is_declared(tag, catalog, vendor):
        yield from named_vendor.tag_problems(tag)
    else:
        yield Problem(NOT_AT_VENDOR, f"the catalog gives {render(tag)} no name at {vendor.name}")


def find_call_problems(vendor_tag: Tag, vendor: Vendor) -> Iterator[Problem]:
    """Yield why no call for tags can have the name of *vendor_tag*."""
    if vendor.tags is not None:
        yield from vendor.tags.name_problems(format_vendor_name(vendor_tag))
    if (
        vendor.has_typed_tags
        and vendor_tag.type == UNTYPED
        and parse_vendor_name(vendor_tag.value, vendor) != vendor_tag
    ):
        message = f"{vendor_tag.value!r} at {vendor.name} would be read as a tag with a type"
        yield Problem(AMBIGUOUS, message, hint="give it a name without a colon in the catalog")


def _builtin_problem(tag: Tag, vendor_tag: Tag, vendor: Vendor) -> Problem:
    message = f"the catalog calls {render(tag)} {render(vendor_tag)} at {vendor.name}, which keeps that by itself"
    hint = f"give it a name of your own: {_attribute_line(tag.type, vendor)}"
    return Problem(BUILTIN, message, hint=hint)


def format_vendor_name(vendor_tag: Tag) -> str:
    """Return the name of a vendor's tag as states have it: with its type if the vendor has types."""
    return vendor_tag.value if vendor_tag.type == UNTYPED else f"{vendor_tag.type}{TYPE_SEPARATOR}{vendor_tag.value}"


def parse_vendor_name(name: str, vendor: Vendor) -> Tag:
    """Return the vendor's tag that `format_vendor_name` calls *name*."""
    type_, _, value = name.partition(TYPE_SEPARATOR)
    return Tag(type_, value) if vendor.has_typed_tags and type_ and value else Tag(UNTYPED, name)


def _find_nameless(named: Mapping[str, NamedScope], found: _NamedTags, vendor: Vendor) -> Iterator[Problem]:
    """Yield a problem for each attribute that the user names and of which no value has a name."""
    for attribute, named_scope in named.items():
        without = [each for each in found.left_out if each.tag in named_scope.scope]
        if without and not any(tag in named_scope.scope for tag in found.names):
            reason = without[0].problem
            line = f"add to the catalog: {_attribute_line(attribute, vendor)}"
            hint = OWN_NAMES_HINT if reason.code == AMBIGUOUS else reason.hint or line
            message = f"no value of {attribute} can be set at {vendor.name}: {reason.message}"
            yield Problem(reason.code, message, hint=hint)


def _find_clashes(every: Iterable[SyncedTag], synced: Iterable[SyncedTag], vendor: Vendor) -> Iterator[Problem]:
    """Yield a problem for each name of *synced* that two tags have."""
    names, tags_by_name = {tag.name for tag in synced}, dict[str, dict[Tag, None]]()
    for tag in every:
        tags_by_name.setdefault(tag.name, {})[tag.tag] = None
    for name, tags in tags_by_name.items():
        if len(tags) > 1 and name in names:
            message = f"{name!r} at {vendor.name} is both {' and '.join(map(render, tags))}"
            yield Problem(AMBIGUOUS, message, hint=OWN_NAMES_HINT)


def name_index_tags(
    scope: Scope, vendor: Vendor, catalog: Catalog | None, snapshot: "Snapshot"
) -> dict[Tag, SyncedTag]:
    """Return the vendor's name for each tag of *scope* that *snapshot* has and that can be set, as a sync names it."""
    return _name_tags(scope, vendor, with_column_types(catalog, snapshot.roles, snapshot.zone), snapshot).names


def has_same_naming(named: NamedScope, vendor: Vendor, catalog: Catalog | None, snapshot: "Snapshot") -> bool:
    """Return whether *catalog* says of the names of an attribute what it said when it was synced.

    Then all values that the index had at that time have the same names.
    """
    catalog = with_column_types(catalog, snapshot.roles, snapshot.zone)
    types = named.scope.types | {tag.type for tag in named.scope.tags}
    attributes = [None if catalog is None else catalog.attributes.get(type_) for type_ in types]
    return [_digest_naming(attribute, vendor) for attribute in attributes] == [named.naming]

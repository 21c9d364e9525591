"""OneSignal's filter fields: their relations, and how types and values of tags are written in them.

A tag of OneSignal is a key with one text. `country` and a few others are fields of its own, and never keys.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audience.errors import Problem
from audience.language.ast import Between, Compare, CompareOp, Has, Tag
from audience.language.attribute_names import UNTYPED, own_key, own_key_type
from audience.language.platforms import PLATFORM_TYPE
from audience.language.printer import render
from audience.vendors.spec import VendorLimit
from audience.vendors.value_names import ValueNames

PAGE = "https://documentation.onesignal.com/reference/create-segments"
CLIENT_DOCS = "https://github.com/OneSignal/onesignal-rust-api"
LIMITS = {
    "entries": VendorLimit(200, PAGE),  # filters and operators
    "in_array": VendorLimit(20, CLIENT_DOCS),
}
MAX_ENTRIES = 200

EQUALITY = ("=", "!=", "in_array", "not_in_array")
ORDER: dict[str, CompareOp] = {"<": "<", ">": ">"}
EXISTENCE = ("exists", "not_exists")
ELAPSED = ("time_elapsed_gt", "time_elapsed_lt")

VERSION_TYPE = "version"
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# As the fields of a filter are documented: a code of two letters, of Chinese with its script.
VALUE_NAMES = {"country": ValueNames(pattern="[A-Z]{2}"), "language": ValueNames(pattern="[a-z]{2}|zh-Han[st]")}


@dataclass(frozen=True, slots=True)
class FilterField:
    """Field of OneSignal's own whose filters are expressions of ours.

    Attributes:
        type: Type of its tags.
        relations: Relations that are read.
        written: Relations that are written; the others are in older documents only.
    """

    type: str
    relations: Sequence[str]
    written: Sequence[str]


FIELDS = {
    "country": FilterField("country", (*EQUALITY, *EXISTENCE), (*EQUALITY, *EXISTENCE)),
    "language": FilterField("language", EQUALITY, EQUALITY),
    "app_version": FilterField(VERSION_TYPE, (*EQUALITY, *ORDER), (*EQUALITY, *ORDER)),
    "session_count": FilterField("session_count", (*EQUALITY, *ORDER), (*EQUALITY, *ORDER)),
    "session_time": FilterField("session_time", (*EQUALITY, *ORDER), tuple(ORDER)),
    # Both count hours from the moment of sending.
    "last_session": FilterField("last_session", tuple(ORDER), tuple(ORDER)),
    "first_session": FilterField("first_session", tuple(ORDER), tuple(ORDER)),
}
SESSION_TYPES = ("last_session", "first_session")
TAG_RELATIONS = (*EQUALITY, *ORDER, *EXISTENCE, *ELAPSED)
FIELDS_BY_TYPE = {field.type: name for name, field in FIELDS.items()}
HOURS = ("field", "relation", "hours_ago")
OTHER_KEYS: Mapping[str, Sequence[str]] = {  # filters that count from the moment of sending, or on data of no device
    "last_session": HOURS,
    "first_session": HOURS,
    "location": ("field", "radius", "lat", "long"),
    "amount_spent": ("field", "relation", "value"),
    "bought_sku": ("field", "key", "relation", "value"),
    "email": ("field", "relation", "value"),
}
OLD_FIELDS = ("amount_spent", "bought_sku", "email")  # in older lists of the clients only


def field_of(type_: str) -> FilterField | None:
    """Return the field of OneSignal's own that has the tags of *type_*, or None for a key of the customer."""
    name = FIELDS_BY_TYPE.get(type_)
    return None if name is None else FIELDS[name]


def can_be_missing(type_: str) -> bool:
    """Return whether a filter can ask for devices without a value of *type_*."""
    field = field_of(type_)
    return field is None or "not_exists" in field.written


def key_of(type_: str) -> str:
    """Return the key of the tags of *type_*, which is no field of OneSignal's own.

    >>> key_of("city"), key_of("attribute.country")
    ('city', 'country')
    """
    return own_key(type_) or type_


def type_problems(atom: Tag | Compare | Between | Has) -> list[Problem]:
    """Return why OneSignal has no field or key for the type of *atom*.

    >>> [problem.hint for problem in type_problems(Has("province"))]
    ['write attribute.province for a key of your own']
    """
    type_ = atom.type
    if type_ == PLATFORM_TYPE and not isinstance(atom, Tag):
        message = f"{render(atom)!r}: OneSignal narrows a request to platforms, and has no condition on them"
        return [Problem("no-existence" if isinstance(atom, Has) else "no-ranges", message, atom.span)]
    if type_ == UNTYPED and not isinstance(atom, Tag):
        message = f"{render(atom)!r}: tags without a value are keys of their own at OneSignal, not values of one key"
        return [Problem("no-existence" if isinstance(atom, Has) else "no-ranges", message, atom.span)]
    if type_ in (*FIELDS_BY_TYPE, UNTYPED, PLATFORM_TYPE) or own_key_type(key_of(type_)) == type_:
        return []
    message = f"{render(atom)!r}: OneSignal keeps no {type_} of a device by itself"
    hint = f"write {own_key_type(key_of(type_))} for a key of your own"
    return [Problem("no-name", message, atom.span, hint=hint)]


def canonical_value(type_: str, value: str) -> str:
    """Return *value* as OneSignal spells it: countries in upper case, languages in lower case.

    >>> canonical_value("country", "us"), canonical_value("language", "ZH-hans"), canonical_value("city", "rome")
    ('US', 'zh-Hans', 'rome')
    """
    if type_ == "country":
        return value.upper()
    if type_ != "language":
        return value
    language, _, script = value.replace("_", "-").partition("-")
    return f"{language.lower()}-{script.capitalize()}" if script else language.lower()


def value_problems(tag: Tag) -> list[Problem]:
    """Return why OneSignal cannot have the value of *tag* in a field of its own.

    >>> [problem.hint for problem in value_problems(Tag("language", "zh"))]
    ['write language:zh-Hans or language:zh-Hant']
    """
    value = canonical_value(tag.type, tag.value)
    if tag.type == "country" and not VALUE_NAMES["country"].documents(value):
        message = f"{render(tag)!r}: OneSignal has countries by their two letters, such as US"
        return [Problem("no-such-value", message, tag.span, hint="map the values in a catalog")]
    if tag.type == "language" and value == "zh":
        message = f"{render(tag)!r}: OneSignal distinguishes zh-Hans and zh-Hant"
        return [Problem("no-such-value", message, tag.span, hint="write language:zh-Hans or language:zh-Hant")]
    if tag.type == "language" and not VALUE_NAMES["language"].documents(value):
        message = f"{render(tag)!r}: OneSignal has languages by their two letters, such as en, and zh-Hans and zh-Hant"
        return [Problem("no-such-value", message, tag.span, hint="map the values in a catalog")]
    if tag.type == "session_count" and not (value.isascii() and value.isdecimal()):
        return [Problem("no-such-value", f"{render(tag)!r}: a session count is a whole number", tag.span)]
    return []


def relation_problems(atom: Tag | Compare | Between | Has, needed: Sequence[str]) -> list[Problem]:
    """Return why the field of *atom* cannot be asked with the relations *needed*; a key of the customer can."""
    field = field_of(atom.type)
    missing = [] if field is None else [relation for relation in needed if relation not in field.written]
    if not missing:
        return []
    name = FIELDS_BY_TYPE[atom.type]
    message = f"{render(atom)!r}: OneSignal's field {name} has no relation {' or '.join(missing)}"
    return [Problem("no-relation", message, atom.span, hint="use an index to resolve it to ids")]


def is_ordered(type_: str, value: str) -> bool:
    """Return whether OneSignal's documents say how a value of *type_* compares with *value*."""
    return type_ == VERSION_TYPE or bool(NUMBER.fullmatch(value))

"""Descriptions of the fields of JSON schemas, out of the docstrings of their types."""

import re
from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from typing import Any, TypeAlias, get_args, get_type_hints

from typing_extensions import is_typeddict

Json: TypeAlias = dict[str, Any]
Descriptions: TypeAlias = Mapping[str, Mapping[str, str]]

ATTRIBUTES = "\n\nAttributes:\n"
ATTRIBUTE_LINE = re.compile(r"^    (\w+): (.*)$")


def collect_descriptions(types: Iterable[Any]) -> Descriptions:
    """Return what docstrings say of the fields of each `TypedDict` in *types* and in what they refer to, by its name.

    >>> from typing_extensions import TypedDict
    >>> class Base(TypedDict):
    ...     '''Base.
    ...
    ...     Attributes:
    ...         count: Devices that match.
    ...     '''
    >>> class Derived(Base):
    ...     '''Without fields of its own.'''
    >>> collect_descriptions([list[Derived] | None])
    {'Derived': {'count': 'Devices that match.'}}
    """
    found: dict[str, Mapping[str, str]] = {}
    waiting = [*types]
    while waiting:
        type_ = waiting.pop()
        waiting += get_args(type_)
        if is_typeddict(type_) and type_.__name__ not in found:
            found[type_.__name__] = _describe_own_and_inherited(type_)
            waiting += get_type_hints(type_).values()
    return found


def describe_fields(schema: Json, descriptions: Descriptions) -> Json:
    """Return the schema of a type with a description at each field, and without them in the description of the type."""
    known = descriptions.get(schema.get("title", ""))
    if known is None:
        return schema
    properties = {
        name: {**field, "description": known[name]} if name in known else field
        for name, field in schema.get("properties", {}).items()
    }
    text = cleandoc(schema.get("description", "")).partition(ATTRIBUTES)[0]
    return {**schema, "description": text, "properties": properties}


def _describe_own_and_inherited(type_: Any) -> dict[str, str]:
    descriptions: dict[str, str] = {}
    for base in getattr(type_, "__orig_bases__", ()):
        if is_typeddict(base):
            descriptions |= _describe_own_and_inherited(base)
    return descriptions | dict(_parse_attributes(cleandoc(type_.__doc__ or "").partition(ATTRIBUTES)[2]))


def _parse_attributes(text: str) -> Iterator[tuple[str, str]]:
    r"""Yield each name and its description in the section `Attributes` of a docstring.

    >>> dict(_parse_attributes("    count: Devices\n        that match.\n    share: Their share."))
    {'count': 'Devices that match.', 'share': 'Their share.'}
    """
    name, lines = "", list[str]()
    for line in text.splitlines():
        found = ATTRIBUTE_LINE.match(line)
        if found:
            if name:
                yield name, " ".join(lines)
            name, lines = found[1], [found[2]]
        elif line.strip():
            lines.append(line.strip())
    if name:
        yield name, " ".join(lines)

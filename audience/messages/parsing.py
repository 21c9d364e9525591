"""Read a message from JSON: every field is checked, and each problem has its path.

null is JSON Merge Patch's: in the message itself it is the same as leaving the field out, in a part of it (an override,
a language, a variant, a vendor's body) it removes what less specific parts have.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from audience.errors import AudienceError, ExpressionError, MessageError, Problem
from audience.language.ast import Split
from audience.language.parser import parse
from audience.language.platforms import canonical_platform
from audience.language.suggest import did_you_mean
from audience.messages.fields import (
    CONTENT_TYPES,
    LANGUAGE_TYPES,
    MESSAGE_TYPES,
    PLACES,
    VARIANT_TYPES,
    FieldType,
)
from audience.messages.levels import resolve_message
from audience.messages.message import Message
from audience.messages.paths import join_path
from audience.messages.send_time import parse_send_time

SPLIT_EXAMPLE = "split(a:45%, b:45%, summer)"
UNDETERMINED = "und"  # the tag of no language


def parse_message(document: Any) -> Message:
    """Return the message of a JSON object.

    Raises:
        MessageError: With every problem and its path.

    >>> parse_message({"title": "Hi", "body": "there", "badge": "+1", "platforms": ["ios"]}).platforms
    ('ios',)
    """
    if not isinstance(document, dict):
        raise MessageError(Problem("wrong-type", f"expected a JSON object, got {document!r:.60}", path="$"))
    problems = [*_part_problems(document, "$", MESSAGE_TYPES, "the message"), *_variant_name_problems(document)]
    if problems:
        raise MessageError(*problems)
    message = _build_message(document)
    if problems := [*dict.fromkeys(_resolution_problems(message))]:
        raise MessageError(*problems)
    return message


def _build_message(document: dict[str, Any]) -> Message:
    """Return the message of a document that has no problems."""
    values = _drop_nulls(document)
    split = parse(values["split"]) if "split" in values else None
    return Message(
        **{
            **values,
            "platforms": tuple(values.get("platforms", ())),
            "send_at": parse_send_time(values["send_at"]) if "send_at" in values else None,
            "overrides": _read_overrides(values.get("overrides", {})),
            "localized": _drop_nulls(_read_languages(values.get("localized", {}))),
            "split": split if isinstance(split, Split) else None,
            "variants": {name: _read_part(part) for name, part in values.get("variants", {}).items()},
            "vendor": _drop_nulls(values.get("vendor", {})),
        }
    )


def _read_part(part: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a variant or language, with the canonical names of places and languages."""
    readers: dict[str, Callable[[Any], Any]] = {"overrides": _rename_places, "localized": _read_languages}
    return {name: readers.get(name, lambda value: value)(value) for name, value in part.items()}


def _read_languages(languages: Mapping[str, Any] | None) -> Any:
    if languages is None:
        return None
    return {_canonical_language(tag): None if part is None else _read_part(part) for tag, part in languages.items()}


def _read_overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the overrides of the message itself; a field that is null there has no value in this place."""
    return _drop_nulls(_rename_places(overrides))


def _rename_places(overrides: Mapping[str, Any] | None) -> Any:
    return None if overrides is None else {canonical_platform(place): part for place, part in overrides.items()}


def _drop_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


# Problems. ----------------------------------------------------------------------------------------------------------


def _part_problems(part: Any, path: str, types: Mapping[str, FieldType], subject: str) -> Iterator[Problem]:
    """Find the problems of a part of a message that has the fields *types*."""
    if not isinstance(part, dict):
        yield Problem("wrong-value", f"expected an object with fields of {subject}, got {part!r:.60}", path=path)
        return
    for name, value in part.items():
        if name not in types:
            yield _unknown_field_problem(name, path, types, subject)
        elif value is not None and not types[name].accepts(value):
            description = types[name].description
            yield Problem("wrong-value", f"expected {description}, got {value!r:.60}", path=join_path(path, name))
        elif value is not None and name in _INNER_PROBLEMS:
            yield from _INNER_PROBLEMS[name](value, join_path(path, name))


def _unknown_field_problem(name: str, path: str, types: Mapping[str, FieldType], subject: str) -> Problem:
    if name in MESSAGE_TYPES:
        hint = f"{subject} has {', '.join(types)}"
        return Problem(
            "misplaced-field", f"{name!r} is not a field of {subject}", path=join_path(path, name), hint=hint
        )
    hint = did_you_mean(name, types) or f"use one of {', '.join(types)}; put a vendor's own keys into vendor.NAME"
    return Problem("unknown-key", f"unknown key {name!r}", path=join_path(path, name), hint=hint)


def _override_problems(overrides: dict[str, Any], path: str) -> Iterator[Problem]:
    yield from _repeat_problems(overrides, canonical_platform, path)
    for place, part in overrides.items():
        where = join_path(path, place)
        if canonical_platform(place) not in PLACES:
            hint = did_you_mean(place, PLACES) or f"use one of {', '.join(PLACES)}"
            yield Problem("unknown-key", f"{place!r} is neither a platform nor a channel", path=where, hint=hint)
        elif part is not None:
            yield from _part_problems(part, where, CONTENT_TYPES, "an override")


def _language_problems(languages: dict[str, Any], path: str) -> Iterator[Problem]:
    yield from _repeat_problems(languages, _canonical_language, path)
    for tag, part in languages.items():
        where = join_path(path, tag)
        if _canonical_language(tag) == UNDETERMINED:
            hint = "write a tag of BCP 47, such as en, pt-BR or zh-Hans"
            yield Problem("unknown-language", f"{tag!r:.60} names no language", path=where, hint=hint)
        if part is not None:
            yield from _part_problems(part, where, LANGUAGE_TYPES, "a language")


def _canonical_language(tag: str) -> str:
    from audience.language.language_tags import normalize_language  # slow to import

    return normalize_language(tag) or UNDETERMINED


def _repeat_problems(part: dict[str, Any], canonical: Callable[[str], str], path: str) -> Iterator[Problem]:
    """Find two keys for one platform or language."""
    first: dict[str, str] = {}
    for key in part:
        if (other := first.setdefault(canonical(key), key)) != key and canonical(key) != UNDETERMINED:
            message = f"{other!r} and {key!r} are both {canonical(key)}"
            yield Problem("repeated-key", message, path=join_path(path, key), hint="join them")


def _variant_problems(variants: dict[str, Any], path: str) -> Iterator[Problem]:
    for name, part in variants.items():
        yield from _part_problems(part, join_path(path, name), VARIANT_TYPES, "a variant")


def _split_problems(text: str, path: str) -> Iterator[Problem]:
    try:
        split = parse(text)
    except ExpressionError as error:
        yield from (Problem(each.code, each.message, each.span, path, each.hint) for each in error.problems)
        return
    if not isinstance(split, Split) or split.variant is not None:
        message = f"expected a split without a condition, got {text!r:.80}"
        yield Problem("wrong-value", message, path=path, hint=f"write {SPLIT_EXAMPLE}")


def _send_time_problems(text: str, path: str) -> Iterator[Problem]:
    try:
        parse_send_time(text, path)
    except MessageError as error:
        yield from error.problems


def _vendor_problems(vendor: dict[str, Any], path: str) -> Iterator[Problem]:
    for name, body in vendor.items():
        if body is not None and not isinstance(body, dict):
            yield Problem("wrong-value", f"expected an object, got {body!r:.60}", path=join_path(path, name))


def _variant_name_problems(document: dict[str, Any]) -> Iterator[Problem]:
    """Find variants without a split, and a split of which `variants` has other names."""
    text, variants = document.get("split"), document.get("variants")
    if variants is not None and text is None:
        hint = f'add "split": "{SPLIT_EXAMPLE}"'
        yield Problem("missing-key", "'split' is required: it divides the audience", path="$.variants", hint=hint)
    if not isinstance(text, str) or any(_split_problems(text, "$.split")):
        return
    split = parse(text)
    names = [name for name, _ in split.variants] if isinstance(split, Split) else []
    if variants is None:
        hint = f'add "variants": {{"{names[0]}": {{…}}, …}}'
        yield Problem("missing-key", "'variants' is required: what each variant gets", path="$.split", hint=hint)
    elif isinstance(variants, dict):
        for name in names:
            if name not in variants:
                hint = f'add "{name}": {{}} if it gets the message as it is'
                yield Problem("missing-key", f"the split has a variant {name!r}", path="$.variants", hint=hint)
        for name in variants:
            if name not in names:
                hint = did_you_mean(name, names) or f"the split has {', '.join(names)}"
                where = join_path("$.variants", name)
                yield Problem("unknown-side", f"the split has no variant {name!r}", path=where, hint=hint)


def _resolution_problems(message: Message) -> Iterator[Problem]:
    """Find variants and languages of *message* whose parts contradict each other or are empty."""
    for variant in message.variants or (None,):
        path = "$" if variant is None else join_path("$.variants", variant)
        for language in (None, *message.languages):
            try:
                plain = resolve_message(message, variant, language)
            except AudienceError as error:
                yield from error.problems
                continue
            if not (plain.title or plain.body or plain.data or plain.vendor):
                where = path if language is None else join_path("$.localized", language)
                yield Problem("empty-message", "the message is empty", path=where, hint="add a title, a body or data")


_INNER_PROBLEMS: dict[str, Callable[[Any, str], Iterator[Problem]]] = {
    "overrides": _override_problems,
    "localized": _language_problems,
    "variants": _variant_problems,
    "split": _split_problems,
    "send_at": _send_time_problems,
    "vendor": _vendor_problems,
}

"""Division of an audience into parts: by the variants and languages of a message, and by the time zones of devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audience.errors import MessageError, PlanError, Problem
from audience.language.ast import Split
from audience.language.parser import parse
from audience.language.printer import render
from audience.language.zone_names import load_named_zone, normalize_zone_name
from audience.messages import Message, merge_patch

DIVIDED = Problem("divided", "what is divided is sent by ids: no vendor knows which part a device is in")


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """Division of an audience by variant, language and time zone, each if it is asked for.

    Attributes:
        split: Split of the message, of all its variants; devices without a variant get nothing.
        languages: Languages of the message for each variant, in its order; for None if there is no split. Empty if
            the audience is not divided by language.
        language_of: Attribute with the languages of devices.
        timezone_of: Attribute with the time zones of devices.
        timezone_default: Time zone of devices whose own is not known; None refuses them.
    """

    split: Split | None = None
    languages: Mapping[str | None, tuple[str, ...]]
    language_of: str | None = None
    timezone_of: str | None = None
    timezone_default: str | None = None

    @property
    def variants(self) -> tuple[str | None, ...]:
        """Return the names of the variants, or None alone."""
        return (None,) if self.split is None else tuple(name for name, _ in self.split.variants)

    def rank_part(self, key: tuple[str | None, str | None, str | None]) -> tuple[int, int, str]:
        """Return what parts are ordered by: the variant, the language and the zone of *key*."""
        variant, language, zone = key
        languages = self.languages.get(variant, ())
        rank = len(languages) if language is None else languages.index(language)
        return self.variants.index(variant), rank, zone or ""

    def to_json(self) -> dict[str, Any]:
        """Return the division as JSON data."""
        shares = dict(() if self.split is None else self.split.variants)
        return {
            "split": None if self.split is None else render(self.split),
            "variants": [
                {
                    "variant": variant,
                    "percent": None if variant is None else shares[variant],
                    "languages": list(self.languages.get(variant, ())),
                }
                for variant in self.variants
            ],
            "language_of": self.language_of,
            "timezone_of": self.timezone_of,
            "timezone_default": self.timezone_default,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Division":
        """Return the division of JSON data."""
        split = None if data["split"] is None else parse(data["split"])
        if not isinstance(split, Split | None):
            raise ValueError(f"{data['split']!r} is not a split")
        languages = {entry["variant"]: tuple(map(str, entry["languages"])) for entry in data["variants"]}
        return cls(
            split=split,
            languages=languages if data["language_of"] is not None else {},
            language_of=data["language_of"],
            timezone_of=data["timezone_of"],
            timezone_default=data["timezone_default"],
        )


def divide_by(
    message: Message | None = None,
    *,
    language_of: str | None = None,
    timezone_of: str | None = None,
    timezone_default: str | None = None,
) -> Division | None:
    """Return how an audience is divided for *message*, or None if all of its devices get the same.

    Args:
        message: Message that will be sent; its split and its languages count.
        language_of: Attribute with the languages of devices, such as `zh-CN` or `zh_TW`.
        timezone_of: Attribute with the time zones of devices, such as `Asia/Shanghai` or `+08:00`.
        timezone_default: Time zone of devices whose own is not known.

    Raises:
        PlanError: There are no languages to divide by, or a default without an attribute.
        ExpressionError: *timezone_default* is not a time zone.

    >>> message = Message(body="Hi", localized={"zh-Hans": {"body": "你好"}})
    >>> divide_by(message, language_of="lang").languages, divide_by(Message(body="Hi"))
    ({None: ('zh-Hans',)}, None)
    """
    if language_of is not None and (message is None or not message.languages):
        hint = "write texts into `localized` of the message, by language"
        raise PlanError(Problem("no-languages", f"no languages to divide by {language_of!r:.80}", hint=hint))
    if timezone_default is not None:
        if timezone_of is None:
            hint = "name the attribute with the time zones of devices"
            raise PlanError(Problem("bad-option", "a default time zone needs time zones of devices", hint=hint))
        load_named_zone(timezone_default)
        timezone_default = normalize_zone_name(timezone_default)
    split = None if message is None else message.split
    if split is None and language_of is None and timezone_of is None:
        return None
    variants: Sequence[str | None] = [None] if split is None else [name for name, _ in split.variants]
    languages = {}
    if message is not None and language_of is not None:
        languages = {variant: list_languages(message, variant) for variant in variants}
    return Division(
        split=None if split is None else replace(split, variant=None, span=None),
        languages=languages,
        language_of=language_of,
        timezone_of=timezone_of,
        timezone_default=timezone_default,
    )


def list_languages(message: Message, variant: str | None) -> tuple[str, ...]:
    """Return the languages that devices of one variant get texts in."""
    own = {} if variant is None else message.variants[variant]
    if "localized" not in own:
        return tuple(message.localized)
    return () if own["localized"] is None else tuple(merge_patch(message.localized, own["localized"]))


def require_same_division(message: Message, division: Division | None, folder: Path) -> None:
    """Raise MessageError if the requests in *folder* were divided by a message with other variants or languages."""
    split = None if division is None else division.split
    if message.split is not None and split is None:
        hint = f"emit again with `--message`: `audience emit … --message FILE --out {folder}`"
        raise MessageError(_difference("the message has variants, but the requests are not divided", "split", hint))
    if split != (None if message.split is None else replace(message.split, variant=None)):
        written, found = ("no split" if each is None else render(each) for each in (split, message.split))
        reason = f"the requests are divided by {written}, the message by {found}"
        raise MessageError(_difference(reason, "split", "send the message that the requests were divided by"))
    if division is None or division.language_of is None:
        return
    for variant, languages in division.languages.items():
        in_message = list_languages(message, variant)
        if {*in_message} != {*languages}:
            whose = "" if variant is None else f" for variant {variant!r}"
            reason = f"the requests are divided into {_join(languages)}{whose}, the message has {_join(in_message)}"
            raise MessageError(_difference(reason, "localized", "send the message that the requests were divided by"))


def _join(languages: Sequence[str]) -> str:
    return ", ".join(languages) or "none"


def _difference(reason: str, field: str, hint: str) -> Problem:
    return Problem("other-division", reason, path=f"$.{field}", hint=hint)

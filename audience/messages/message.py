"""Message as a frozen value of all its fields, and its JSON document."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, TypeAlias

from audience.language.ast import Split
from audience.language.platforms import canonical_platform
from audience.language.printer import render
from audience.messages.fields import PLATFORMS as PLATFORMS
from audience.messages.send_time import format_send_time

MessageKind: TypeAlias = Literal["notification", "silent"]
Priority: TypeAlias = Literal["high", "normal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Message to all devices of an audience.

    Attributes:
        title: Title of the notification.
        body: Text of the notification.
        subtitle: Line between the title and the text.
        data: Custom data for the app.
        image: URL of an image, or a value that the app interprets.
        link: URL to open, or a value that the app interprets.
        badge: Number on the app icon, or "+1".
        sound: Name of the sound.
        priority: "high" for a message that is shown at once, "normal" for one that can wait.
        category: Category of the message, in the words of the platform or channel.
        thread_id: Notifications with the same value are shown as a group.
        channel_id: Notification channel of Android.
        time_to_live: Seconds after which the message expires. None uses the vendor's default.
        collapse_key: A newer message with the same key replaces an older one.
        platforms: Platforms that receive the message, in any spelling. Empty means all.
        test: Use the development environment of Apple's push service.
        kind: A "silent" message goes to the app and is not shown.
        send_at: Moment at which the message is sent; without an offset, the local time of each device. None is now.
        overrides: Fields with another value on a platform, or by a manufacturer's channel. None removes a field there.
        localized: Fields in other languages, by the tag of each language.
        split: Split of the audience into variants.
        variants: Fields of each variant of the split.
        vendor: Values by vendor name, which are merged into the vendor's body. None removes what is there.
    """

    title: str | None = None
    body: str | None = None
    subtitle: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    image: str | None = None
    link: str | None = None
    badge: int | Literal["+1"] | None = None
    sound: str | None = None
    priority: Priority | None = None
    category: str | None = None
    thread_id: str | None = None
    channel_id: str | None = None
    time_to_live: int | None = None
    collapse_key: str | None = None
    platforms: tuple[str, ...] = ()
    test: bool = False
    kind: MessageKind = "notification"
    send_at: datetime | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    localized: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    split: Split | None = None
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    vendor: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "platforms", tuple(map(canonical_platform, self.platforms)))

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the tags of all languages that the message or one of its variants has texts in."""
        localized = (self.localized, *(variant.get("localized") or {} for variant in self.variants.values()))
        return tuple(dict.fromkeys(tag for texts in localized for tag, text in texts.items() if text is not None))


def message_document(message: Message) -> dict[str, Any]:
    """Return the JSON object of *message*, without the fields that have their default; reading it gives the message.

    >>> message_document(Message(title="Hi", platforms=("ios",)))
    {'title': 'Hi', 'platforms': ('ios',)}
    """
    default = Message()
    values = {each.name: getattr(message, each.name) for each in fields(Message)}
    document = {name: value for name, value in values.items() if value != getattr(default, name)}
    if message.send_at is not None:
        document["send_at"] = format_send_time(message.send_at)
    if message.split is not None:
        document["split"] = render(message.split)
    return document

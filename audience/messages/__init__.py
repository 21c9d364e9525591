"""Messages, independent of vendors: fields, reading from JSON, and the plain message of each part."""

from audience.messages.fields import CHANNELS, PLATFORM_OF_CHANNEL
from audience.messages.levels import message_for_platform, resolve_message
from audience.messages.merge_patch import merge_patch
from audience.messages.message import PLATFORMS, Message, message_document
from audience.messages.parsing import parse_message

__all__ = [
    "CHANNELS",
    "PLATFORMS",
    "PLATFORM_OF_CHANNEL",
    "Message",
    "merge_patch",
    "message_document",
    "message_for_platform",
    "parse_message",
    "resolve_message",
]

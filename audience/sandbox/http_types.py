"""Requests and replies of the emulated vendors, independent of an HTTP library."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

DeviceMask = npt.NDArray[np.bool_]  # a yes or no for each device of the population
JsonObject = dict[str, Any]
ReplyBody: TypeAlias = JsonObject | list[JsonObject] | str


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One request: *headers* have lower-case names, *form* is a urlencoded body, *file* a name and its content.

    Values of a name that is repeated in *query* are joined by commas.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    form: Mapping[str, str] = field(default_factory=dict)
    file: tuple[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One reply.

    Attributes:
        status: HTTP status.
        body: JSON body; a string is sent as it is, an empty one without a content type.
        code: The vendor's error code, empty on success.
        message_id: Ids of the messages, joined by commas.
        device_count: Number of devices reached.
        ignored: Parameters that the vendor does not know and takes without a word.
        headers: Headers of the vendor's own.
    """

    status: int
    body: ReplyBody
    code: str = ""
    message_id: str = ""
    device_count: int = 0
    ignored: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


class VendorRefusal(Exception):
    """Rejection by a vendor, with its error code and text, and headers of its own."""

    def __init__(self, code: int | str, text: str = "", headers: Mapping[str, str] = MappingProxyType({})):
        super().__init__(f"{code} {text}")
        self.code = str(code)
        self.text = text
        self.headers = headers

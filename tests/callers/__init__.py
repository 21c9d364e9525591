"""How tests call each vendor's sandbox: callers/<name>.py has the CALLER of one vendor, and a new vendor adds its own.

What one service has of two vendors, such as both forms of EMAS, is in the caller of the service.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from audience import get_vendor
from audience.sandbox.http_types import HttpCall
from audience.sandbox.sandbox import KEY, SECRET
from audience.vendors.delivery_spec import Request


@dataclass(frozen=True, kw_only=True)
class Caller:
    """How tests call the sandbox of one vendor.

    Attributes:
        send: Builds a call with any message from the payload of a plan.
        post: Builds a call with a body as the vendor's page prints it.
        post_text: Builds a call from the text of a body, which may be none.
        frames: Build calls from the texts behind the verbs of tests/sandbox/<name>.txt.
        sound_body: Body that `post` is accepted with, of which any place is then replaced.
        nobody_codes: Codes of calls to an audience without devices, beside that of success.
        tag_call: Builds a call for tags from a method, a path, which may have a query, and the text of a body.
        unknown_tagged: What becomes of calls for tags of a known and an unknown id, and of the unknown id alone.
        read_tags: Yields the changes in a request for tags, as triples of a direction, an id and a tag.
        change_tag: Builds a call that gives one tag to ids or takes it, and is accepted.
        to_tags: Builds the payload of a push to devices with any or all of some tags.
        second_tag: A tag that the vendor takes, beside `vip`.
        id_format: Form of an id.
        link_prefix: Beginning of a link that the vendor takes.
        keys: Keys that are neither the key nor the secret of the sandbox.
    """

    send: Callable[[Any], HttpCall]
    post: Callable[[Any], HttpCall]
    post_text: Callable[[str], HttpCall] | None = None
    frames: Mapping[str, Callable[[str], HttpCall]] = field(default_factory=dict)
    sound_body: Any = None
    nobody_codes: frozenset[str] = frozenset()
    tag_call: Callable[[str, str, str], HttpCall] | None = None
    unknown_tagged: tuple[str, str] | None = None
    read_tags: Callable[[Request], Iterator[tuple[str, str, str]]] | None = None
    change_tag: Callable[[str, Sequence[str], bool], HttpCall] | None = None
    to_tags: Callable[[Sequence[str], bool], Any] | None = None
    second_tag: str = "深圳"
    id_format: str = "{:032x}"
    link_prefix: str = "app://"
    keys: Mapping[str, str] = field(default_factory=dict)


def service_of(vendor: str) -> str:
    """The service whose ids and whose sandbox a vendor has: both forms of EMAS the same."""
    return vendor.partition("_")[0]


CALLERS: dict[str, Caller] = {
    name: import_module(f"{__name__}.{name}").CALLER for name in sorted(each.name for each in iter_modules(__path__))
}
ID_FORMATS = {name: caller.id_format for name, caller in CALLERS.items() if name == service_of(name)}


def make_keys(vendor: str) -> dict[str, str]:
    """The keys with which an application may call the sandbox as *vendor*."""
    delivery = get_vendor(vendor).delivery
    keys = {key: SECRET if key in delivery.secret_keys else KEY for key in delivery.required_keys}
    keys |= {key: values[0] for key, values in delivery.optional_keys.items()}
    return keys | dict(CALLERS[vendor].keys)

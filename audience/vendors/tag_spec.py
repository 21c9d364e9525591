"""Tags half of a vendor record: how a server sets and removes the tags of devices, and what the vendor bounds.

Nothing here sends. A vendor's module turns changes of tags into requests and parses replies. `audience.tag_sync` finds
which changes are needed and packs them into few calls; `audience.delivery.syncing` makes the calls.

Setting a tag that a device has, and removing one that it has not, change nothing at any vendor here. So every call can
be repeated, and a call whose reply is lost is made again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from audience.errors import Problem
from audience.vendors.delivery_spec import (
    Credentials,
    ErrorCode,
    RateLimit,
    Request,
    Response,
    VendorReply,
    no_problems,
)
from audience.vendors.vendor_limit import VendorLimit


@dataclass(frozen=True, slots=True)
class Grid:
    """Changes of some devices that are all alike: each of *ids* gets, or loses, each of *tags*."""

    ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pairs:
    """Changes that name the tag of each device: one id and one tag in each of *pairs*."""

    pairs: tuple[tuple[str, str], ...] = ()


def require_grid(changes: Grid | Pairs) -> Grid:
    """Return *changes*, which calls of a form without pairs have as a grid."""
    if isinstance(changes, Pairs):
        raise TypeError("the form of this call takes no pairs")
    return changes


@dataclass(frozen=True, slots=True, kw_only=True)
class TagCallForm:
    """One way in which a vendor takes changes of tags.

    Attributes:
        name: Name in plans, logs and the ledger.
        adds: Whether a call can set tags.
        removes: Whether it can remove tags. A call of a form with both may do both at once, to different devices.
        max_ids: Largest number of ids of each direction in a call.
        max_tags: Largest number of tags of each direction in a call.
        max_pairs: Largest number of pairs of an id and a tag, if a call lists pairs. None if every id of a call gets,
            or loses, every tag of it.
        source: URL of the page that documents it.
    """

    name: str
    adds: bool
    removes: bool
    max_ids: int
    max_tags: int
    max_pairs: int | None = None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagCall:
    """Content of one call: the tags that it sets and those that it removes, with the vendor's names and ids."""

    form: TagCallForm
    added: Grid | Pairs = Grid()
    removed: Grid | Pairs = Grid()
    key_type: str = "registration_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class TagReading:
    """Reading of the tags that a vendor has.

    Attributes:
        build_request: Builds the request for the tags of one id of a kind.
        parse_tags: Parses the response: the tags; or the reply that explains why there are none.
        rate_limits: Rate limits of these calls.
        source: URL of the page that documents it.
        build_counts: Builds the requests for the number of devices of each of some tags, one for each platform whose
            counts are added up; None if the vendor has none.
        parse_counts: Parses the response to one of them. A tag that it does not name has an unknown count.
        max_counted: Largest number of tags in such a request.
    """

    build_request: Callable[[str, str, Credentials], Request]
    parse_tags: Callable[[Response], frozenset[str] | VendorReply]
    rate_limits: tuple[RateLimit, ...]
    source: str
    build_counts: Callable[[Sequence[str], Credentials], tuple[Request, ...]] | None = None
    parse_counts: Callable[[Response], Mapping[str, int] | VendorReply] | None = None
    max_counted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TagSpec:
    """Everything that a sync of tags needs of a vendor, besides keys and signatures, which are those of its delivery.

    Attributes:
        family: Name of the vendor whose applications and tags these are; versions of one vendor share it.
        forms: Forms of calls.
        build_request: Builds the request of a call.
        parse_reply: Parses the response to a call. An Accepted has no message id, and the ids that the vendor does not
            know as `invalid_ids`; the others were changed. An InvalidIds has those ids too, or none if the vendor does
            not name them; of the others some, all or none were changed, until the call is made again without those
            ids, or in halves. An InDoubt may have changed some, all or none.
        rate_limits: Returns the rate limits of calls of a form.
        name_problems: Finds why no call can name a tag, beside the reasons of `Vendor.tag_problems`.
        name_pattern: Pattern of a catalog that gives the values of an attribute names which calls can have.
        max_concurrent: Largest number of calls in flight; None without a limit.
        max_tags_per_device: Bound of the vendor for one device; None if no page states one.
        max_tags: Bound for an application.
        max_devices_per_tag: Bound for the devices of one tag.
        find_key: Returns the key of a tag. A device has one tag of a key, and setting one replaces the other; all
            changes of a device are in one call. None if tags are independent of each other.
        max_keys: Bound for the keys whose tags a sync sets or removes.
        max_calls_per_day: Bound for the calls of each form in a day. They are made at the rates of their limits until
            the vendor refuses one; the next sync goes on from there.
        delay: How long a change may take until pushes follow it.
        error_codes: Error codes of these calls.
        key_types: Kinds of ids to which tags can be bound; the first is the default.
        find_base_url: Returns the base URL of these calls for that of the pushes.
        reading: How tags are read; None if no page documents it.
        reports_unknown_ids: Whether replies show ids that the vendor does not know.
    """

    family: str
    forms: tuple[TagCallForm, ...]
    build_request: Callable[[TagCall, Credentials], Request]
    parse_reply: Callable[[Response, TagCall], VendorReply]
    rate_limits: Callable[[TagCallForm], tuple[RateLimit, ...]]
    name_problems: Callable[[str], Iterable[Problem]] = no_problems
    name_pattern: str = "{type}_{value}"
    max_concurrent: int | None = None
    max_tags_per_device: VendorLimit | None = None
    max_tags: VendorLimit | None = None
    max_devices_per_tag: VendorLimit | None = None
    find_key: Callable[[str], str] | None = None
    max_keys: VendorLimit | None = None
    max_calls_per_day: VendorLimit | None = None
    delay: timedelta = timedelta(0)
    error_codes: tuple[ErrorCode, ...] = ()
    key_types: tuple[str, ...] = ("registration_id",)
    find_base_url: Callable[[str], str] = lambda base_url: base_url
    reading: TagReading | None = None
    reports_unknown_ids: bool = True

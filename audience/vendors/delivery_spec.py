"""What goes over the wire to a vendor, and what its replies mean: the part of a vendor's record that delivery uses.

Nothing here sends. A vendor's file turns a message and targeting objects into requests, signs them, and reads replies;
what is done about a reply is decided once, for all vendors, by `audience.delivery`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from audience.errors import Problem
from audience.messages import Message

Payload: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Credentials:
    """An application at a vendor: the URL it is reached at, and its *keys* by the names that its vendor gives them."""

    base_url: str
    keys: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningContext:
    """What a signature takes from outside: the moment, in UTC, and a text that was never used before."""

    now: datetime
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; *path* begins with a slash, *query* is not yet encoded."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, whole; names of headers are in lower case."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most so many *calls* in *seconds*, counted together for all calls of one *name* in an application."""

    name: str
    max_calls: int
    period_seconds: float
    source: str


# What a reply means. ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """The vendor has taken it, as the *message* of this id, but for the ids *left_out*, which it does not know."""

    message_id: str
    invalid_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InvalidIds:
    """Nobody was told, because of ids that the vendor does not know: these, or some that it does not name."""

    problem: Problem
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """Nobody was told, and nobody would be if it were sent again; other batches are not concerned."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Retryable:
    """Nobody was told, and later they can be: too fast, or busy; *after* seconds, where the vendor says it."""

    problem: Problem
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Fatal:
    """Nobody was told, and no other batch would fare better: keys, quota, a message that is refused."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Whether anybody was told is not known."""

    problem: Problem


Outcome: TypeAlias = Literal["accepted", "invalid-ids", "rejected", "retryable", "fatal", "in-doubt"]
VendorReply: TypeAlias = Accepted | InvalidIds | Rejected | Retryable | Fatal | InDoubt


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One of a vendor's error codes: what it means for the batch and for the run, and what the user can do.

    *reply* is the kind of Reply it makes; *code* is written as the vendor does, with `*` for a name that stands in it.
    """

    code: str
    outcome: Outcome
    meaning: str
    advice: str
    source: str


# How devices are told. ----------------------------------------------------------------------------------------------


def no_problems(*_: object) -> tuple[Problem, ...]:
    """There is no problem, whatever is asked."""
    return ()


def always(*_: object) -> bool:
    """It is so, whatever is asked."""
    return True


def return_unchanged(body: Payload, now: datetime) -> Payload:
    """*body*, which has no moments in it."""
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupCall:
    """A call that tells nobody, and whose answer, a handle, the calls that tell need: an upload, or an empty message.

    It may be repeated at will. *request* has the message's body and the targets of the call that it is for; *reply*
    gives Accepted with the handle as its message. At most *calls* calls use one handle, within *lasts*, and where
    that is one, the handle may stand for its targets; *close* ends it. *needed* is whether a call to these targets
    asks for one.
    """

    build_request: Callable[[Payload, Sequence[Payload], Credentials], Request]
    parse_reply: Callable[[Response], VendorReply]
    max_uses: int
    is_needed: Callable[[Sequence[Payload]], bool] = always
    lifetime: timedelta | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    close: Callable[[str, Credentials], Request] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendCall:
    """What one telling call says: *targets* are targeting objects, for which a *handle* may stand.

    *token* is the same whenever this batch is sent again, a UUID.
    """

    targets: tuple[Payload, ...]
    body: Payload
    handle: str | None
    idempotency_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendMethod:
    """One way to tell devices: *ids* are the most that one call names, and None where it is for native targets alone.

    They stand in targeting objects of the vendor's `batch` ids each; an *opening* comes before the call. *worth* is
    how many ids there have to be for it to be thought of.
    *several* is whether each target becomes a message of its own, so that Accepted has as many ids, joined by commas.
    *paces* are the limits of calls, which may depend on the target. *repeats* is how long the vendor drops repeats of
    one token, where it does. *refuses* is why a body cannot go this way: with these targets, to this application.
    """

    name: str
    max_ids: int | None
    build_request: Callable[[SendCall, Credentials], Request]
    parse_reply: Callable[[Response], VendorReply]
    rate_limits: Callable[[Sequence[Payload]], tuple[RateLimit, ...]]
    source: str
    min_ids: int = 0
    message_per_target: bool = False
    setup_call: SetupCall | None = None
    dedup_window: timedelta | None = None
    check: Callable[[Payload, Sequence[Payload], Credentials], Iterable[Problem]] = no_problems

    def get_setup_call(self, targets: Sequence[Payload]) -> SetupCall | None:
        """The opening of a call to *targets*, where it needs one."""
        return self.setup_call if self.setup_call is not None and self.setup_call.is_needed(targets) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySpec:
    """How a vendor is sent to.

    *hosts* are its data centres by name, the first one being the default; *keys* are the names of what an application
    is known by, and *secret* those of them that are never shown; *choices* are keys that need not be given: what they
    can be, the first being what they are where nothing is said. *body* words a message and raises MessageError for
    what the vendor would refuse; *warnings* are what it would cut or ignore, and *lost* what of a message it has no
    words for. *ways* name the one for native targets, too. *dry_run* is the call that checks and tells nobody, where
    there is one. *timed* is a body as a call at that moment says it, where a time to live has become a moment, and
    raises MessageError where its own moments are too near, too far or past; it is asked anew for each call.
    """

    base_urls: Mapping[str, str]
    required_keys: tuple[str, ...]
    secret_keys: frozenset[str]
    build_body: Callable[[Message], Payload]
    warnings: Callable[[Payload], Iterable[Problem]]
    native_method: SendMethod
    send_methods: tuple[SendMethod, ...]
    sign: Callable[[Request, Credentials, SigningContext], Request]
    error_codes: tuple[ErrorCode, ...]
    optional_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unsupported_fields: Callable[[Message], Iterable[Problem]] = no_problems
    dry_run: Callable[[SendCall, Credentials], Request] | None = None
    apply_timestamps: Callable[[Payload, datetime], Payload] = return_unchanged


def deep_merge(body: Payload, overrides: Mapping[str, Any]) -> Payload:
    """*body* with *overrides* merged in as they are: objects key by key, anything else in place of what was there.

    >>> deep_merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": []})
    {'a': {'b': 3, 'c': 2}, 'd': []}
    """
    found = dict(body)
    for key, value in overrides.items():
        before = found.get(key)
        found[key] = deep_merge(before, value) if isinstance(before, dict) and isinstance(value, Mapping) else value
    return found

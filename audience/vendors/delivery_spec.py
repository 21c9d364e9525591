"""Delivery half of a vendor record: requests, signatures, and the meaning of replies.

Nothing here sends. A vendor's module turns a message and its targeting into requests, signs them, and parses replies.
`audience.delivery` decides once, for all vendors, how to react to a reply.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from audience.errors import Problem
from audience.messages import Message

Payload: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials of one application at a vendor.

    Attributes:
        base_url: URL of the vendor's data centre.
        keys: Keys of the application, by the vendor's names.
    """

    base_url: str
    keys: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningContext:
    """Inputs of a signature from outside.

    Attributes:
        now: Time of the call, in UTC.
        nonce: String that was never used before.
        access_token: Access token that the vendor gave out; empty if its calls need none.
    """

    now: datetime
    nonce: str
    access_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request.

    Attributes:
        method: HTTP method.
        path: Path below the base URL, with a slash at its beginning; or a URL of another host of the vendor.
        query: Parameters of the query, not yet encoded.
        headers: Headers.
        content: Body.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One complete HTTP response.

    Attributes:
        status: HTTP status.
        content: Body.
        headers: Headers, with names in lower case.
    """

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Rate limit of an application.

    Attributes:
        name: Bucket; calls of rate limits with the same name are counted together.
        max_calls: Largest number of calls in a period.
        period_seconds: Length of the period.
        source: URL of the page that documents it.
    """

    name: str
    max_calls: int
    period_seconds: float
    source: str


# Replies. ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """Reply to an accepted call.

    Attributes:
        message_id: Id that the vendor gave the message.
        invalid_ids: Ids that the vendor does not know; it delivers to all others.
        answered_ids: Ids for which the reply has an outcome; None if it only lists unknown ids. If they are not all ids
            of the call, the call is in doubt.
        answered_count: Number of ids that the reply counts, reached or not; None if it has no counts. If it is not the
            number of ids of the call, the call is in doubt.
    """

    message_id: str
    invalid_ids: tuple[str, ...] = ()
    answered_ids: frozenset[str] | None = field(default=None, repr=False)
    answered_count: int | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class InvalidIds:
    """Reply to a call that failed because of unknown ids; nothing was delivered.

    Attributes:
        problem: Reason.
        ids: Unknown ids; empty if the vendor does not list them.
        are_all: Whether the vendor knows none of the ids of the call.
    """

    problem: Problem
    ids: tuple[str, ...] = ()
    are_all: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """Reply to a call that would fail again; nothing was delivered, and other batches are not affected."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Retryable:
    """Reply to a call that can succeed later, as for a rate limit; nothing was delivered.

    Attributes:
        problem: Reason.
        retry_after: Seconds to wait; None if the vendor does not specify them.
    """

    problem: Problem
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Fatal:
    """Reply to a call that fails for every batch, as for wrong keys or a used-up quota; nothing was delivered."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Reply that leaves open whether the message was delivered."""

    problem: Problem


Outcome: TypeAlias = Literal["accepted", "invalid-ids", "rejected", "retryable", "fatal", "in-doubt"]
VendorReply: TypeAlias = Accepted | InvalidIds | Rejected | Retryable | Fatal | InDoubt


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One error code of a vendor.

    Attributes:
        code: Code as the vendor writes it, with `*` for a variable part.
        outcome: Kind of reply it leads to.
        meaning: What went wrong.
        advice: What the user can do.
        source: URL of the page that documents it.
    """

    code: str
    outcome: Outcome
    meaning: str
    advice: str
    source: str


# Access tokens. -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccessToken:
    """Access token that a vendor gave out, and for how many seconds from now on it is valid."""

    value: str = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenSource:
    """Call through which a vendor gives out the access tokens that all its other calls need. It delivers nothing.

    Tokens stay in the memory of the process that requested them. The call may be repeated; a new token leaves older
    ones valid.

    Attributes:
        build_request: Builds the request from the credentials and the time of the call, which is not signed.
        parse_reply: Parses the response.
        is_refused: Returns whether a response to another call says that its token is no longer valid. Then the reply
            to that call should be Retryable, and a new token is requested for the next one.
        source: URL of the page that documents it.
        is_needed: Returns whether calls with these credentials need one.
    """

    build_request: Callable[[Credentials, datetime], Request]
    parse_reply: Callable[[Response], AccessToken | VendorReply]
    is_refused: Callable[[Response], bool]
    source: str
    is_needed: Callable[[Credentials], bool] = lambda credentials: True


# Send methods. ------------------------------------------------------------------------------------------------------


def no_problems(*_: object) -> tuple[Problem, ...]:
    """Return no problem, for any arguments."""
    return ()


def always(*_: object) -> bool:
    """Return True, for any arguments."""
    return True


def return_unchanged(body: Payload, now: datetime) -> Payload:
    """Return *body*, which has no timestamps."""
    return body


def keep_message(message: Message, credentials: Credentials) -> Message:
    """Return *message*, of which the application sends everything."""
    return message


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupCall:
    """Setup call, such as an upload, that returns a handle for later push calls. It delivers nothing.

    It may be repeated. If one call uses the handle, the handle may replace the targets of that call.

    Attributes:
        build_request: Builds the request from the body of the message and the targets of the push call.
        parse_reply: Parses the response; an Accepted has the handle as its message id.
        max_uses: Largest number of push calls with one handle.
        is_needed: Returns whether a push call to these targets needs a handle.
        lifetime: How long a handle is valid; None without a limit.
        find_lifetime: Returns how long a handle of a body is valid, if that depends on the body.
        rate_limits: Rate limits of the setup call.
        close: Builds the request that ends a handle; None if none is needed.
    """

    build_request: Callable[[Payload, Sequence[Payload], Credentials], Request]
    parse_reply: Callable[[Response], VendorReply]
    max_uses: int
    is_needed: Callable[[Sequence[Payload]], bool] = always
    lifetime: timedelta | None = None
    find_lifetime: Callable[[Payload], timedelta] | None = None
    rate_limits: tuple[RateLimit, ...] = ()
    close: Callable[[str, Credentials], Request] | None = None

    def get_lifetime(self, body: Payload) -> timedelta | None:
        """Return how long a handle of *body* is valid; None without a limit."""
        return self.lifetime if self.find_lifetime is None else self.find_lifetime(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Call through which a vendor gives out idempotency keys, several at once. It delivers nothing and may be repeated.

    Attributes:
        name: Name of the kind of these keys.
        build_request: Builds the request.
        parse_reply: Parses the response; an Accepted has the keys as its message id, joined by commas.
        min_keys: Number of keys that every application gets from one call.
        max_age: How old a key may be at the first call with it. The dedup window of the calls begins with that call,
            so the vendor has to know a key for as long as both together.
        rate_limits: Rate limits of the call.
        source: URL of the page that documents it.
    """

    name: str
    build_request: Callable[[Credentials], Request]
    parse_reply: Callable[[Response], VendorReply]
    min_keys: int
    max_age: timedelta
    rate_limits: tuple[RateLimit, ...]
    source: str


def find_no_key_problems(keys: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return no problem, for any keys."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SendCall:
    """Content of one push call.

    Attributes:
        targets: Targeting objects.
        body: Message in the vendor's format.
        handle: Handle of a setup call; None without one.
        idempotency_key: UUID, or key of a key source, that stays the same if the batch is sent again.
    """

    targets: tuple[Payload, ...]
    body: Payload
    handle: str | None
    idempotency_key: str


def read_no_moments(body: Payload) -> tuple[datetime, ...]:
    """Return no moment, for any body."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorSchedule:
    """Calls that the vendor keeps and delivers at their time.

    Attributes:
        accepts: Returns whether it keeps a call to these targets.
        apply: Returns the body of a call that is delivered at a moment, in whole seconds.
        max_ahead: How far ahead that moment may be.
        min_ahead: How far ahead it is at least; a call for an earlier moment is held here.
        build_cancel: Builds the request that withdraws a message by its id.
        parse_cancel: Parses the response; an Accepted means that nothing more is delivered.
        cancel_rate_limits: Rate limits of withdrawals.
        source: URL of the page that documents the withdrawal.
        key_source: Where the idempotency keys of calls that the vendor keeps come from, if it gives them out.
    """

    accepts: Callable[[Sequence[Payload]], bool]
    apply: Callable[[Payload, datetime], Payload]
    max_ahead: timedelta
    min_ahead: timedelta
    build_cancel: Callable[[str, Credentials], Request]
    parse_cancel: Callable[[Response], VendorReply]
    cancel_rate_limits: tuple[RateLimit, ...]
    source: str
    key_source: KeySource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendMethod:
    """Method of calling a vendor, such as a list of tokens or an uploaded package.

    Attributes:
        name: Name on the command line.
        max_ids: Largest number of ids in one call; None if it takes native targets only. The ids are in targeting
            objects of at most `Vendor.max_ids` ids each.
        build_request: Builds the request.
        parse_reply: Parses the response.
        rate_limits: Returns the rate limits of a call to these targets.
        source: URL of the page that documents it.
        min_ids: Smallest number of ids for which the method is considered.
        message_per_target: Whether each target becomes a message of its own. An Accepted then has their ids, joined
            by commas.
        setup_call: Call that comes before the push call; None if none is needed.
        dedup_window: How long the vendor drops repeats of one idempotency key; None if it does not.
        drops_repeats: Returns whether it does so for a call to these targets.
        check: Finds why the method cannot carry a body to these targets of this application.
        concurrency: Calls in flight at once, if the user names no number: more where a call is for one id.
        schedule: How the vendor keeps a call until its time; None if it delivers all of them at once.
        key_source: Where the idempotency keys of other calls come from, if the vendor gives them out.
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
    drops_repeats: Callable[[Sequence[Payload]], bool] = always
    check: Callable[[Payload, Sequence[Payload], Credentials], Iterable[Problem]] = no_problems
    concurrency: int = 32
    schedule: VendorSchedule | None = None
    key_source: KeySource | None = None

    def get_setup_call(self, targets: Sequence[Payload]) -> SetupCall | None:
        """Return the setup call of a push call to *targets*, or None if it needs none."""
        return self.setup_call if self.setup_call is not None and self.setup_call.is_needed(targets) else None

    def for_targets(self, targets: Sequence[Payload]) -> "SendMethod":
        """Return the method of a call to *targets*: without a dedup window if the vendor drops no repeats of it."""
        return self if self.drops_repeats(targets) else replace(self, dedup_window=None)

    def get_key_source(self, kept_until: float | None) -> KeySource | None:
        """Return where the key of a call comes from that the vendor keeps until a moment; None for a key of ours."""
        if kept_until is not None and self.schedule is not None:
            return self.schedule.key_source
        return self.key_source


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySpec:
    """Everything that delivery needs of a vendor.

    Attributes:
        base_urls: URLs of the data centres by name; the first is the default, if there is one.
        required_keys: Names of the keys of an application.
        secret_keys: Keys that are never shown.
        build_body: Writes a message in the vendor's format, or raises MessageError for what the vendor would refuse.
        warnings: Finds what the vendor would cut or ignore in a body.
        native_method: Send method for native targets.
        send_methods: Send methods for ids; they may include the native one.
        sign: Adds the signature to a request.
        error_codes: Error codes of the vendor.
        optional_keys: Values of the optional keys; the first is the default.
        unsupported_fields: Finds fields of a message that the vendor has no field for.
        reports_unknown_ids: Whether replies show that the vendor does not know some ids. If not, an accepted call says
            nothing of the devices that it reaches.
        dry_run: Builds a request that checks a call and delivers nothing; None if the vendor has none.
        parse_dry_run: Parses the response to it; None if that is the one to the call itself.
        fit_message: Returns what the application of the credentials sends of a message, if it serves one platform.
        serves_one_platform: Whether an application serves the platform that its key `platform` names.
        apply_timestamps: Returns the body for a call at that time, with a time to live turned into a timestamp. It is
            called before each call, and raises MessageError if a timestamp of the body is past, too near or too far.
        read_moments: Returns the moments, past ones too, at which a body that schedules itself is delivered.
        default_platforms: Platforms, as expressions name them, that a message without any is for; empty for all.
        application_keys: Keys that name the application, which stay when a key of access is replaced; empty for all
            required keys that are not secret.
        access_tokens: Where the access tokens of its calls come from; None if the keys alone sign them.
        key_file: Name of a key that names a file in JSON which has the required keys; empty if the vendor has no such.
        check_keys: Finds why keys that are all there cannot sign.
        has_default_host: Whether the first data centre is meant if none is named. If not, the user has to name one.
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
    reports_unknown_ids: bool = True
    dry_run: Callable[[SendCall, Credentials], Request] | None = None
    parse_dry_run: Callable[[Response], VendorReply] | None = None
    fit_message: Callable[[Message, Credentials], Message] = keep_message
    serves_one_platform: bool = False
    apply_timestamps: Callable[[Payload, datetime], Payload] = return_unchanged
    read_moments: Callable[[Payload], tuple[datetime, ...]] = read_no_moments
    default_platforms: tuple[str, ...] = ()
    application_keys: tuple[str, ...] = ()
    access_tokens: AccessTokenSource | None = None
    key_file: str = ""
    check_keys: Callable[[Mapping[str, str]], Iterable[Problem]] = find_no_key_problems
    has_default_host: bool = True

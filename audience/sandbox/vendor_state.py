"""State of one emulated vendor: devices, their tags, deliveries, rate limits, and remembered calls."""

import hmac
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from audience.sandbox.delivery_log import DeliveryLog
from audience.sandbox.http_types import HttpReply
from audience.sandbox.key_tags import KeyTags, NamedKeys
from audience.sandbox.population import Population
from audience.sandbox.population_rows import Rows, sort_rows
from audience.sandbox.rate_limits import SlidingWindowLimiter
from audience.sandbox.tag_store import TagStore

HOST = "127.0.0.1"
DEFAULT_TAG_DELAY = 600.0  # seconds: EMAS binds a tag within ten minutes
KEY, SECRET = "sandbox-key", "sandbox-secret"  # the default pair whose signatures are checked


@dataclass(frozen=True, slots=True)
class ContinuousMessage:
    """Message whose devices later calls name: created at *since*, for *platforms*, with the calls so far."""

    since: float
    platforms: frozenset[str]
    calls: int = 0


@dataclass
class VendorState:
    """One emulated vendor at work; without *secret* any pair of key and secret is accepted.

    *clock* returns the Unix time; it decides everything that depends on the time. *tag_quota* multiplies the documented
    numbers of tags and of their devices, None lifts them; *tag_delay* is the seconds after which pushes follow a change
    of tags at a vendor that does not promise it at once.
    """

    vendor: str
    population: Population
    clock: Callable[[], float]
    rate_limiter: SlidingWindowLimiter
    key: str | None = None
    secret: str | None = None
    tag_quota: float | None = 1.0
    tag_delay: float = DEFAULT_TAG_DELAY
    tags: TagStore = field(init=False)
    key_tags: dict[str, KeyTags] = field(init=False)  # of each kind of key that a call has named
    named_keys: dict[str, NamedKeys] = field(init=False)
    delivery_log: DeliveryLog = field(init=False)
    uploads: dict[int, bytes] = field(init=False)
    cached_replies: dict[str, tuple[float, HttpReply]] = field(init=False)
    continuous_messages: dict[str, ContinuousMessage] = field(init=False)
    given_keys: dict[str, float] = field(init=False)  # idempotency keys that the vendor gave out, and when
    nonces: set[str] = field(init=False)
    nonces_by_age: deque[tuple[float, str]] = field(init=False)
    upload_numbers: "count[int]" = field(init=False)

    def __post_init__(self) -> None:
        self.tags = TagStore(self.population, self.vendor)
        self.key_tags, self.named_keys = {}, {}
        self.delivery_log = DeliveryLog(self.population, self.vendor, self.clock)
        self.upload_numbers = count(1)
        self.reset()

    def reset(self) -> None:
        """Forget all deliveries, changes of tags and calls."""
        self.delivery_log.reset()
        self.tags.reset()
        for tags in self.key_tags.values():
            tags.reset()
        self.rate_limiter.call_times.clear()
        self.uploads, self.cached_replies, self.continuous_messages = {}, {}, {}
        self.nonces, self.nonces_by_age, self.given_keys = set(), deque(), {}

    def knows_key(self, key: str) -> bool:
        """Return whether *key* may call."""
        return self.key is None or hmac.compare_digest(key.encode(), self.key.encode())

    def accepts_credentials(self, key: str, secret: str) -> bool:
        """Return whether the pair of key and secret may call."""
        return self.knows_key(key) and (
            self.secret is None or hmac.compare_digest(secret.encode(), self.secret.encode())
        )

    def signing_secret(self, key: str) -> str | None:
        """Return the secret that *key* signs with, or None if any signature is accepted."""
        return self.secret or (SECRET if key == KEY else None)

    def is_new_nonce(self, nonce: str, seconds: float) -> bool:
        """Remember *nonce* and return whether it was not seen within the last *seconds*."""
        now = self.clock()
        while self.nonces_by_age and now - self.nonces_by_age[0][0] > seconds:
            self.nonces.discard(self.nonces_by_age.popleft()[1])
        if nonce in self.nonces:
            return False
        self.nonces.add(nonce)
        self.nonces_by_age.append((now, nonce))
        return True

    def find_rows(self, ids: list[str]) -> tuple[Rows, list[str]]:
        """Return the rows of *ids*, sorted, and those of *ids* that no device has."""
        rows = list(map(self.population.rows_by_id(self.vendor).get, ids))
        unknown = [each for each, row in zip(ids, rows, strict=True) if row is None] if None in rows else []
        return sort_rows([row for row in rows if row is not None] if unknown else rows), unknown

    def exceeds_quota(self, count: int, documented: int | None) -> bool:
        """Return whether *count* tags, or devices of a tag, are more than the *documented* number of them."""
        return None not in (self.tag_quota, documented) and count > (documented or 0) * (self.tag_quota or 0)

    def cached_reply(self, token: str, seconds: float) -> HttpReply | None:
        """Return the reply that *token* received within the last *seconds*, or None."""
        since, reply = self.cached_replies.get(token, (0.0, None))
        return reply if reply and self.clock() - since < seconds else None

    def cache_reply(self, token: str, reply: HttpReply) -> None:
        """Remember *reply* for repeats of *token*."""
        self.cached_replies[token] = (self.clock(), reply)

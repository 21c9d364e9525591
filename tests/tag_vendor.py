"""Fake vendor of tags for tests of syncs: it keeps the tags of each device, fails on demand, and watches what it gets.

A call is `{"add": [[ids], [tags]], "remove": [[ids], [tags]]}`, or has lists of pairs of an id and a tag.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

import audience.vendors
from audience.delivery.clock import Clock
from audience.delivery.syncing.worker import SyncOptions
from audience.delivery.transport.retry import RetryPolicy
from audience.errors import Problem
from audience.testing.fake_vendor import REPLY_TYPES, make_delivery, make_vendor
from audience.vendors.delivery_spec import Accepted, Credentials, InvalidIds, Request, Response, VendorReply
from audience.vendors.spec import Vendor
from audience.vendors.tag_spec import Grid, Pairs, TagCall, TagCallForm, TagReading, TagSpec

QUICK_RETRY = RetryPolicy(max_attempts=6, initial_delay=0.001, max_delay=0.005, timeout=5, max_lost=10_000)
CREDENTIALS = Credentials("https://push.example", {"key": "k1", "secret": "s3cr3t-w0rd"})
MAX_IDS = 4

BY_TAG = TagCallForm(name="tag", adds=True, removes=True, max_ids=MAX_IDS, max_tags=1, source="made up")
ADDING = TagCallForm(name="add", adds=True, removes=False, max_ids=MAX_IDS, max_tags=1, source="made up")
REMOVING = TagCallForm(name="remove", adds=False, removes=True, max_ids=MAX_IDS, max_tags=1, source="made up")
BY_PAIRS = TagCallForm(name="pairs", adds=True, removes=False, max_ids=20, max_tags=20, max_pairs=20, source="made up")
LESS_PAIRS = replace(BY_PAIRS, name="less", adds=False, removes=True)
RECTANGLES = (replace(ADDING, name="bind", max_tags=3), replace(REMOVING, name="unbind", max_tags=3))
FORMS = {"tag": (BY_TAG,), "directions": (ADDING, REMOVING), "pairs": (BY_PAIRS, LESS_PAIRS), "rectangles": RECTANGLES}


def list_pairs(part: Grid | Pairs) -> list[tuple[str, str]]:
    """Return the pairs of an id and a tag of one direction of a call."""
    return list(part.pairs) if isinstance(part, Pairs) else [(each, tag) for each in part.ids for tag in part.tags]


def build_request(call: TagCall, credentials: Credentials) -> Request:
    """Build the request of *call*."""
    for part in (call.added, call.removed):
        if isinstance(part, Grid):
            assert len(part.ids) <= call.form.max_ids and len(part.tags) <= call.form.max_tags
        else:
            assert len(part.pairs) <= (call.form.max_pairs or 0)
    body = {"add": list_pairs(call.added), "remove": list_pairs(call.removed)}
    assert body["add"] or body["remove"], "an empty call"
    assert call.form.adds or not body["add"]
    assert call.form.removes or not body["remove"]
    return Request(method="POST", path="/tags", content=json.dumps(body).encode())


def parse_reply(response: Response, call: TagCall) -> VendorReply:
    """Parse a response of the service."""
    payload = json.loads(response.content)
    if "ok" in payload:
        return Accepted("", tuple(payload.get("unknown", ())))
    problem = Problem(payload["error"], "the vendor's words")
    if payload["error"] == "bad-ids":
        return InvalidIds(problem, tuple(payload.get("ids", ())))
    return REPLY_TYPES[payload["error"]](problem)


def parse_tags(response: Response) -> frozenset[str] | VendorReply:
    """Parse the tags of one device."""
    payload = json.loads(response.content)
    if "tags" in payload:
        return frozenset(payload["tags"])
    problem = Problem(payload["error"], "the vendor's words")
    return InvalidIds(problem) if payload["error"] == "bad-ids" else REPLY_TYPES[payload["error"]](problem)


def parse_counts(response: Response) -> Mapping[str, int] | VendorReply:
    """Parse the numbers of devices of some tags."""
    payload = json.loads(response.content)
    return payload["counts"] if "counts" in payload else REPLY_TYPES[payload["error"]](Problem("e", "words"))


READING = TagReading(
    build_request=lambda identifier, key_type, credentials: Request(
        method="GET", path="/tags", query={"id": identifier}
    ),
    parse_tags=parse_tags,
    rate_limits=(),
    source="made up",
    build_counts=lambda tags, _: (Request(method="GET", path="/counts", query={"tags": ",".join(tags)}),),
    parse_counts=parse_counts,
    max_counted=3,
)


def make_spec(forms: Iterable[TagCallForm] = (BY_TAG,), **overrides: Any) -> TagSpec:
    """Return a specification of tags; *overrides* are other fields of TagSpec."""
    fields: dict[str, Any] = {
        "family": "fake",
        "forms": tuple(forms),
        "build_request": build_request,
        "parse_reply": parse_reply,
        "rate_limits": lambda form: (),
        "reading": READING,
    }
    return TagSpec(**{**fields, **overrides})


def make_tag_vendor(spec: TagSpec | None = None) -> Vendor:
    """Return a vendor that takes tags."""
    return replace(make_vendor(make_delivery()), tags=spec or make_spec())


def register_tag_vendor(spec: TagSpec | None = None) -> Callable[[], None]:
    """Register the vendor until the returned function is called."""
    return audience.vendors.register_vendors(make_tag_vendor(spec))


def no_faults(number: int) -> None:
    """Return no fault, for any call."""


@dataclass
class TagService:
    """Service of the vendor, in memory.

    Attributes:
        fault: Returns the fault of a call by its number, from 1, or None: `again`, `refused`, `stopped` and `in-doubt`
            change nothing; `lost` changes, and its reply is lost; `late` changes only when the next call has been
            handled, and its reply is lost; `half` changes a part, and its reply is lost; `unreached` does not arrive.
        unknown: Ids that the vendor does not know.
        names_unknown: Whether a call with one succeeds and names it; else the whole call is refused without names.
        bad_tags: Tags that the vendor does not take; a call with one is refused as one with unknown ids is.
        tags: Tags by id.
        allowed: Returns whether a device may have a tag at the moment; every change is held against it.
        calls: Number of calls that changed tags or were to.
        late: Changes that have not arrived.
        time: Time of the syncs.
    """

    fault: Callable[[int], str | None] = no_faults
    unknown: set[str] = field(default_factory=set)
    names_unknown: bool = True
    bad_tags: frozenset[str] = frozenset()
    tags: dict[str, set[str]] = field(default_factory=dict)
    allowed: Callable[[str, str], bool] = lambda identifier, tag: True
    calls: int = 0
    reads: int = 0
    late: list[dict[str, list[list[str]]]] = field(default_factory=list)
    time: "QuickTime" = field(default_factory=lambda: QuickTime())
    in_flight: int = 0
    most_in_flight: int = 0
    most_tags: int = 0
    forbidden: list[tuple[str, str]] = field(default_factory=list)

    def make_transport(self) -> httpx.MockTransport:
        """Return a transport of httpx that calls the service in memory."""
        return httpx.MockTransport(self.handle)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Respond to a call."""
        if request.method == "GET":
            return self._read(request)
        self.calls += 1
        fault = self.fault(self.calls)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            return self._change(json.loads(request.content), fault, request)
        finally:
            self.in_flight -= 1

    def _read(self, request: httpx.Request) -> httpx.Response:
        self.reads += 1
        query = dict(request.url.params)
        if "tags" in query:
            counts = {tag: sum(tag in tags for tags in self.tags.values()) for tag in query["tags"].split(",")}
            return httpx.Response(200, json={"counts": counts})
        if query["id"] in self.unknown:
            return httpx.Response(400, json={"error": "bad-ids"})
        return httpx.Response(200, json={"tags": sorted(self.tags.get(query["id"], ()))})

    def _change(self, body: dict[str, list[list[str]]], fault: str | None, request: httpx.Request) -> httpx.Response:
        if fault == "unreached":
            raise httpx.ConnectError("refused", request=request)
        if fault in REPLY_TYPES:
            return httpx.Response(429 if fault == "again" else 400, json={"error": fault})
        if fault == "late":
            self.late.append(body)
            raise httpx.ReadTimeout("timeout", request=request)
        unknown = {each for pairs in body.values() for each, _ in pairs} & self.unknown
        is_bad = any(tag in self.bad_tags for pairs in body.values() for _, tag in pairs)
        if is_bad or (unknown and not self.names_unknown):
            return httpx.Response(400, json={"error": "bad-ids"})
        if fault == "half":
            self.apply({name: pairs[: len(pairs) // 2] for name, pairs in body.items()})
        else:
            self.apply(body)
        self.arrive()
        if fault in ("lost", "half"):
            raise httpx.ReadTimeout("timeout", request=request)
        return httpx.Response(200, json={"ok": True, "unknown": sorted(unknown)})

    def arrive(self) -> None:
        """Apply what was late."""
        while self.late:
            self.apply(self.late.pop())

    def apply(self, body: dict[str, list[list[str]]]) -> None:
        """Make the changes of a call, for the ids that the vendor knows."""
        for identifier, tag in body["remove"]:
            self.tags.get(identifier, set()).discard(tag)
        for identifier, tag in body["add"]:
            if identifier in self.unknown:
                continue
            if not self.allowed(identifier, tag):
                self.forbidden.append((identifier, tag))
            tags = self.tags.setdefault(identifier, set())
            tags.add(tag)
            self.most_tags = max(self.most_tags, len(tags))

    def list_tags(self) -> dict[str, set[str]]:
        """Return the tags of all devices that have any."""
        return {identifier: set(tags) for identifier, tags in self.tags.items() if tags}


@dataclass
class QuickTime:
    """Time that passes only when somebody waits, at once.

    Attributes:
        now: Unix time.
        boot_start: When the machine was started.
        boot_id: Which start that was.
        waited: Seconds that were waited for in all.
    """

    now: float = 1_000_000.0
    boot_start: float = 0.0
    boot_id: str = "boot"
    waited: float = 0.0

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.now += seconds
        self.waited += seconds
        await asyncio.sleep(0)

    def clock(self) -> Clock:
        """Return the clock of a sync."""
        return Clock(
            wall=lambda: self.now,
            boot=lambda: self.now - self.boot_start,
            boot_id=lambda: self.boot_id,
            sleep=self.sleep,
        )

    def restart(self, boot_id: str) -> None:
        """Start the machine again."""
        self.boot_start, self.boot_id = self.now, boot_id


def make_sync_options(service: TagService, **overrides: Any) -> SyncOptions:
    """Return options with quick retries that call *service*, in its time."""
    options = SyncOptions(
        retry=QUICK_RETRY, concurrency=4, transport=service.make_transport(), clock=service.time.clock()
    )
    return replace(options, **overrides)

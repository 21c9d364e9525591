"""Fake vendor for tests of delivery: a vendor record, a service that counts its deliveries, and run folders.

The service takes `{"to": [ids], "token": …}` or `{"everyone": true}`, in memory or on loopback, and fails on demand.

>>> from tempfile import TemporaryDirectory
>>> from audience.delivery import send
>>> from audience.testing.registration import register_vendors
>>> service, ids = FakeService(), make_ids(25)
>>> with TemporaryDirectory() as folder, register_vendors(make_vendor()):
...     run = write_run_folder(Path(folder) / "run", ids)
...     status = send(run, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service))
>>> status.done, service.call_count, service.delivery_counts == dict.fromkeys(ids, 1)
(True, 3, True)
"""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import httpx

import audience.vendors
from audience._fs.checksums import hash128
from audience.delivery import RetryPolicy, SafetyLimits, SendOptions
from audience.errors import Problem
from audience.language.ast import Everyone, Expr, Ids
from audience.vendors.delivery_spec import (
    Accepted,
    Credentials,
    DeliverySpec,
    Fatal,
    InDoubt,
    InvalidIds,
    KeySource,
    Payload,
    RateLimit,
    Rejected,
    Request,
    Response,
    Retryable,
    SendCall,
    SendMethod,
    SetupCall,
    SigningContext,
    VendorReply,
    always,
)
from audience.vendors.spec import Vendor

Fault: TypeAlias = Callable[[int], str | None]

BASE_VENDOR = audience.vendors.get_vendor("engagelab")  # the fake vendor has its targeting
BATCH_SIZE = 10  # ids of a batch
KEYS_PER_CALL = 3  # idempotency keys that a call gives out
LINES_PER_FILE = 1_000
QUICK_RETRY = RetryPolicy(max_attempts=6, initial_delay=0.001, max_delay=0.005, timeout=5, max_lost=10_000)
CREDENTIALS = Credentials("https://push.example", {"key": "k1", "secret": "s3cr3t-w0rd"})
UNLIMITED = SafetyLimits(max_devices=10**9, broadcast=True)
MESSAGE = {"title": "Hi", "body": "there"}
REPLY_TYPES: dict[str, Callable[[Problem], VendorReply]] = {
    "again": Retryable,
    "refused": Rejected,
    "stopped": Fatal,
    "in-doubt": InDoubt,
}


# Vendor. --------------------------------------------------------------------------------------------------------------


def list_target_ids(targets: Iterable[Payload]) -> list[str]:
    """Return the ids in all *targets*."""
    return [identifier for target in targets for identifier in target.get("to", [])]


def build_request(call: SendCall, credentials: Credentials) -> Request:
    """Build the push request of *call*."""
    payload = {"to": list_target_ids(call.targets), "token": call.idempotency_key, **call.body}
    if any("everyone" in target for target in call.targets):
        payload["everyone"] = True
    if call.handle is not None:
        payload["handle"] = call.handle
    return Request(method="POST", path="/push", content=json.dumps(payload).encode())


def parse_reply(response: Response) -> VendorReply:
    """Parse a response of the service."""
    payload = json.loads(response.content)
    if "accepted" in payload:
        return Accepted(payload["accepted"], tuple(payload.get("left_out", ())))
    problem = Problem(payload["error"], payload.get("words", "the vendor's words"))
    if payload["error"] == "bad-ids":
        return InvalidIds(problem, tuple(payload.get("ids", ())))
    return REPLY_TYPES[payload["error"]](problem)


def sign_request(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Return *request* with the secret as its signature."""
    return replace(request, headers={"authorization": credentials.keys["secret"]})


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the targeting of *ids*."""
    return {"to": list(ids)}


def parse_payload(payload: Payload) -> Expr:
    """Parse a targeting of the fake vendor."""
    return Everyone() if "everyone" in payload else Ids("registration_id", tuple(payload["to"]))


def make_method(name: str = "list", **overrides: Any) -> SendMethod:
    """Return a send method with lists of ids; *overrides* are other fields of SendMethod."""
    fields: dict[str, Any] = {
        "name": name,
        "max_ids": BATCH_SIZE,
        "build_request": build_request,
        "parse_reply": parse_reply,
        "rate_limits": lambda targets: (),
        "source": "made up",
    }
    return SendMethod(**{**fields, **overrides})


def make_idempotent_method(minutes: float = 15) -> SendMethod:
    """Return a send method whose vendor drops repeats for *minutes*."""
    return make_method(dedup_window=timedelta(minutes=minutes))


def make_keyed_method(max_age: timedelta = timedelta(minutes=15), **overrides: Any) -> SendMethod:
    """Return a send method whose vendor gives out the keys by which it drops repeats; a key is used up to *max_age*."""
    source = KeySource(
        name="push",
        build_request=lambda credentials: Request(method="POST", path="/keys"),
        parse_reply=parse_reply,
        min_keys=KEYS_PER_CALL,
        max_age=max_age,
        rate_limits=(),
        source="made up",
    )
    return make_method(**{"dedup_window": timedelta(minutes=15), "key_source": source, **overrides})


def make_setup_method(
    max_uses: int = 3,
    lifetime: timedelta | None = None,
    is_needed: Callable[[Sequence[Payload]], bool] = always,
    **overrides: Any,
) -> SendMethod:
    """Return a send method with a setup call.

    Args:
        max_uses: Largest number of push calls with one handle.
        lifetime: How long a handle is valid; None without a limit.
        is_needed: Returns whether a push call to these targets needs a handle.
        **overrides: Other fields of SendMethod.
    """
    setup_call = SetupCall(
        build_request=lambda body, targets, credentials: Request(
            method="POST", path="/open", content=json.dumps({"ids": list_target_ids(targets)}).encode()
        ),
        parse_reply=parse_reply,
        max_uses=max_uses,
        is_needed=is_needed,
        lifetime=lifetime,
        close=lambda handle, credentials: Request(method="POST", path="/close", content=handle.encode()),
    )
    return make_method("opened", setup_call=setup_call, **overrides)


def make_upload_method(**overrides: Any) -> SendMethod:
    """Return a send method with handles that replace the targets; *overrides* are fields of SendMethod."""

    def build_by_handle(call: SendCall, credentials: Credentials) -> Request:
        return build_request(call if call.handle is None else replace(call, targets=()), credentials)

    return make_setup_method(max_uses=1, build_request=build_by_handle, **overrides)


def make_rate_limited_method(calls: int, seconds: float) -> SendMethod:
    """Return a send method with at most *calls* calls in *seconds*."""
    return make_method(rate_limits=lambda targets: (RateLimit("push", calls, seconds, "made up"),))


def make_delivery(*methods: SendMethod, **overrides: Any) -> DeliverySpec:
    """Return a delivery specification with *methods*; *overrides* are other fields of DeliverySpec."""
    fields: dict[str, Any] = {
        "base_urls": {"here": "https://push.example", "there": "https://there.example"},
        "required_keys": ("key", "secret"),
        "secret_keys": frozenset({"secret"}),
        "build_body": lambda message: {"title": message.title},
        "warnings": lambda body: (),
        "native_method": make_method("native", max_ids=None),
        "send_methods": methods or (make_method(),),
        "sign": sign_request,
        "error_codes": (),
    }
    return DeliverySpec(**{**fields, **overrides})


def make_vendor(delivery: DeliverySpec | None = None, name: str = "fake") -> Vendor:
    """Return the record of a fake vendor, with one send method unless *delivery* has others.

    >>> vendor = make_vendor(name="pager")
    >>> vendor.id_columns, vendor.max_ids, [method.name for method in vendor.delivery.send_methods]
    (('pager',), 10, ['list'])
    """
    return replace(
        BASE_VENDOR,
        name=name,
        id_columns=(name,),
        title="Fake",
        target_ids=target_ids,
        parse=parse_payload,
        max_ids=BATCH_SIZE,
        delivery=delivery or make_delivery(),
    )


def register_fake_vendors(delivery: DeliverySpec | None = None, names: Iterable[str] = ("fake",)) -> Callable[[], None]:
    """Register fake vendors called *names* until the returned function is called."""
    return audience.vendors.register_vendors(*(make_vendor(delivery, name) for name in names))


# Folders. -------------------------------------------------------------------------------------------------------------


def make_ids(count: int) -> list[str]:
    """Return *count* ids of devices.

    >>> make_ids(3)
    ['r0', 'r1', 'r2']
    """
    return [f"r{number}" for number in range(count)]


def write_run_folder(path: Path, ids: Sequence[str], native: Sequence[Payload] = (), name: str = "fake") -> Path:
    """Write a run folder as `audience emit` does, and return *path*.

    Args:
        path: Folder to create.
        ids: Ids to send to, in batches of `BATCH_SIZE`.
        native: Native targeting objects; they come first.
        name: Name of the vendor.
    """
    path.mkdir(parents=True)
    batches = [target_ids(ids[at : at + BATCH_SIZE]) for at in range(0, len(ids), BATCH_SIZE)]
    lines = [json.dumps(payload, separators=(",", ":")) + "\n" for payload in (*native, *batches)]
    manifest = {
        "vendor": name,
        "expression": "everyone",
        "bound": "everyone",
        "as_of": "2026-11-28T09:00:00+08:00",
        "timezone": "Asia/Shanghai",
        "devices": len(ids),
        "native": len(native),
        "batches": len(batches),
        "id_count": len(ids),
        "skipped_count": 0,
        "messaged_count": len(ids),
        "files": [
            _write_request_file(path / f"requests-{number:05}.ndjson", lines[at : at + LINES_PER_FILE])
            for number, at in enumerate(range(0, len(lines), LINES_PER_FILE), 1)
        ],
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def _write_request_file(path: Path, lines: list[str]) -> dict[str, Any]:
    """Write *lines* and return the entry of the manifest."""
    content = "".join(lines).encode()
    path.write_bytes(content)
    return {"name": path.name, "lines": len(lines), "bytes": len(content), "xxh128": hash128(content)}


def write_campaign_folder(path: Path, **ids: Sequence[str]) -> Path:
    """Write a campaign folder as `audience campaign` does, and return *path*; *ids* are those of each vendor."""
    for name, vendor_ids in ids.items():
        write_run_folder(path / name, vendor_ids, name=name)
    vendors = [{"vendor": name, "assigned": len(vendor_ids)} for name, vendor_ids in ids.items()]
    (path / "campaign.json").write_text(json.dumps({"vendors": vendors}))
    return path


def make_send_options(
    transport: "FakeService | httpx.AsyncBaseTransport | None", retry: RetryPolicy = QUICK_RETRY, concurrency: int = 16
) -> SendOptions:
    """Return options with quick retries that send to a service or through a transport of httpx."""
    if isinstance(transport, FakeService):
        transport = transport.make_transport()
    return SendOptions(retry=retry, concurrency=concurrency, transport=transport)


# Service. -------------------------------------------------------------------------------------------------------------


def no_faults(number: int) -> None:
    """Return no fault, for any call."""


class FakeService:
    """Service of the fake vendor. It counts how often it delivers to each id.

    Args:
        fault: Returns the fault of a push call by its number, from 1, or None. `again`, `refused`, `stopped`,
            `in-doubt` and `bad-ids` are errors of calls that deliver nothing. `lost` delivers, and its reply is lost.
            `unreached` and `gone` do not arrive; after `gone` the client cannot know.
        bad_ids: Ids that make a call fail.
        names_bad_ids: Whether that error lists them.
        drops_repeats: Whether a repeated token delivers nothing.
        ignored_ids: Ids that are reported as unknown, while the call succeeds.
        delay: Seconds that a call in memory takes.

    Attributes:
        delivery_counts: Number of deliveries by id; `everyone` counts broadcasts.
        call_count: Number of push calls.
        setup_count: Number of setup calls.
        max_concurrent_calls: Largest number of push calls at once.
        bodies: Payloads of all push calls.
        handle_uses: Number of push calls by handle.
        closed_handles: Handles that were closed.
        uploads: Ids by handle.
        message_by_token: Id of the message by idempotency key.
        keys: Idempotency keys that were given out; then no others are taken.
    """

    def __init__(
        self,
        fault: Fault = no_faults,
        bad_ids: Iterable[str] = (),
        names_bad_ids: bool = True,
        drops_repeats: bool = False,
        ignored_ids: Iterable[str] = (),
        delay: float = 0.0,
    ):
        self.fault, self.delay = fault, delay
        self.bad_ids, self.ignored_ids = set(bad_ids), set(ignored_ids)
        self.names_bad_ids, self.drops_repeats = names_bad_ids, drops_repeats
        self.call_count, self.setup_count = 0, 0
        self.concurrent_calls, self.max_concurrent_calls = 0, 0
        self.delivery_counts: Counter[str] = Counter()
        self.handle_uses: Counter[str | None] = Counter()
        self.bodies: list[Payload] = []
        self.closed_handles: list[str] = []
        self.uploads: dict[str, list[str]] = {}
        self.message_by_token: dict[str, str] = {}
        self.keys: list[str] = []

    def make_transport(self) -> httpx.MockTransport:
        """Return a transport of httpx that calls the service in memory."""
        return httpx.MockTransport(self.handle_request)

    async def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Respond to a setup call, a push call, or a call that closes a handle."""
        if request.url.path == "/open":
            self.setup_count += 1
            self.uploads[f"h{self.setup_count}"] = json.loads(request.content)["ids"]
            return httpx.Response(200, json={"accepted": f"h{self.setup_count}"})
        if request.url.path == "/keys":
            new_keys = [f"k{len(self.keys) + number}" for number in range(1, KEYS_PER_CALL + 1)]
            self.keys += new_keys
            return httpx.Response(200, json={"accepted": ",".join(new_keys)})
        if request.url.path == "/close":
            self.closed_handles.append(request.content.decode())
            return httpx.Response(200, json={"accepted": "closed"})
        self.call_count += 1
        number = self.call_count
        self.concurrent_calls += 1
        self.max_concurrent_calls = max(self.max_concurrent_calls, self.concurrent_calls)
        try:
            await asyncio.sleep(self.delay)
            return self.handle_push(number, json.loads(request.content), request)
        finally:
            self.concurrent_calls -= 1

    def handle_push(self, number: int, payload: Payload, request: httpx.Request | None = None) -> httpx.Response:
        """Respond to the push call with this *number*, or raise the error of httpx that its fault asks for."""
        self.bodies.append(payload)
        fault = self.fault(number)
        if fault == "unreached":
            raise httpx.ConnectError("refused", request=request)
        if fault == "gone":
            raise httpx.ReadTimeout("timeout", request=request)
        if fault in REPLY_TYPES or fault == "bad-ids":
            return httpx.Response(429 if fault == "again" else 400, json={"error": fault, "words": f"call {number}"})
        if self.keys and payload["token"] not in self.keys:
            return httpx.Response(400, json={"error": "stopped", "words": "a key that was not given out"})
        ids = self._resolve_ids(payload)
        bad_ids = [identifier for identifier in ids if identifier in self.bad_ids]
        if bad_ids:
            return httpx.Response(400, json={"error": "bad-ids", "ids": bad_ids if self.names_bad_ids else []})
        message_id = self._deliver(number, ids, payload)
        if fault == "lost":
            raise httpx.RemoteProtocolError("closed", request=request)
        ignored_ids = [identifier for identifier in ids if identifier in self.ignored_ids]
        return httpx.Response(200, json={"accepted": message_id, "left_out": ignored_ids})

    def _resolve_ids(self, payload: Payload) -> list[str]:
        """Return the ids in the payload, or the ids that were uploaded for its handle if it has none."""
        handle, ids = payload.get("handle"), list(payload["to"])
        self.handle_uses[handle] += 1
        return self.uploads[handle] if handle is not None and not ids else ids

    def _deliver(self, number: int, ids: list[str], payload: Payload) -> str:
        """Count the deliveries of a call, and return the id of its message."""
        if not (self.drops_repeats and payload["token"] in self.message_by_token):
            self.delivery_counts.update(identifier for identifier in ids if identifier not in self.ignored_ids)
            self.delivery_counts.update(["everyone"] if payload.get("everyone") else [])
        return self.message_by_token.setdefault(payload["token"], f"m{number}")


def random_faults(seed: int, **probabilities: float) -> Fault:
    """Return a function that picks the fault of each call at random.

    Args:
        seed: Seed of the random numbers.
        **probabilities: Probability of each fault, with `_` in the place of `-`.

    >>> pick_fault = random_faults(1, lost=0.3, in_doubt=0.3)
    >>> [pick_fault(number) for number in range(1, 5)]
    ['lost', None, None, 'lost']
    """
    chance = random.Random(seed)

    def pick_fault(number: int) -> str | None:
        remaining = chance.random()
        for name, probability in probabilities.items():
            if remaining < probability:
                return name.replace("_", "-")
            remaining -= probability
        return None

    return pick_fault


# Server. --------------------------------------------------------------------------------------------------------------


class FakeServer(ThreadingHTTPServer):
    """Server with a longer queue of connections: the usual five are too few for concurrent calls."""

    request_queue_size = 128


@contextmanager
def run_server(service: FakeService, delay: float = 0.0) -> Iterator[str]:
    """Run *service* on loopback inside a `with` block, and yield its URL; a call takes *delay* seconds.

    >>> with run_server(FakeService()) as url:
    ...     httpx.post(f"{url}/push", json={"to": ["r0"], "token": "t"}).json()
    {'accepted': 'm1', 'left_out': []}
    """
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(delay)
            with lock:
                service.call_count += 1
                response = service.handle_push(service.call_count, json.loads(content))
            self.send_response(response.status_code)
            self.send_header("content-length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        def handle(self) -> None:
            with suppress(ConnectionError):  # the client was killed
                super().handle()

        def log_message(self, *words: object) -> None:
            pass

    with FakeServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

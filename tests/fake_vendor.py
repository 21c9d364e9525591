"""A made-up vendor for tests of delivery, a service that counts who was told how often, and run folders for it.

The service takes {"to": [ids], "token": …}, or {"everyone": true}, and can be told to fail.
"""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import xxhash

import audience.vendors
from audience import get_vendor
from audience.delivery import RetryPolicy, SafetyLimits, SendOptions, campaign_runs, resume, send
from audience.errors import DeliveryError, Problem
from audience.language.ast import Everyone, Ids
from audience.messages import Message
from audience.vendors.delivery_spec import (
    Accepted,
    Credentials,
    DeliverySpec,
    Fatal,
    InDoubt,
    InvalidIds,
    RateLimit,
    Rejected,
    Request,
    Retryable,
    SendMethod,
    SetupCall,
    always,
)

BASE_VENDOR = get_vendor("engagelab")
BATCH_SIZE = 10  # ids of a batch
QUICK_RETRY = RetryPolicy(max_attempts=6, initial_delay=0.001, max_delay=0.005, timeout=5, max_lost=10_000)
CREDENTIALS = Credentials("https://push.example", {"key": "k1", "secret": "s3cr3t-w0rd"})
UNLIMITED = SafetyLimits(max_devices=10**9, broadcast=True)
MESSAGE = {"title": "Hi", "body": "there"}
REPLY_TYPES = {"again": Retryable, "refused": Rejected, "stopped": Fatal, "in-doubt": InDoubt}


def list_target_ids(targets):
    return [each for target in targets for each in target.get("to", [])]


def build_request(call, credentials):
    ids = list_target_ids(call.targets)
    said = {"to": ids, "token": call.idempotency_key, **call.body}
    if any("everyone" in target for target in call.targets):
        said["everyone"] = True
    if call.handle is not None:
        said["handle"] = call.handle
    return Request(method="POST", path="/push", content=json.dumps(said).encode())


def parse_reply(response):
    said = json.loads(response.content)
    if "accepted" in said:
        return Accepted(said["accepted"], tuple(said.get("left_out", ())))
    problem = Problem(said["error"], said.get("words", "the vendor's words"))
    if said["error"] == "bad-ids":
        return InvalidIds(problem, tuple(said.get("ids", ())))
    return REPLY_TYPES[said["error"]](problem)


def sign_request(request, credentials, context):
    return replace(request, headers={"authorization": credentials.keys["secret"]})


def target_ids(ids):
    return {"to": list(ids)}


def parse_payload(payload):
    return Everyone() if "everyone" in payload else Ids("registration_id", tuple(payload["to"]))


def make_method(name="list", **overrides):
    facts = {
        "name": name,
        "max_ids": BATCH_SIZE,
        "build_request": build_request,
        "parse_reply": parse_reply,
        "rate_limits": lambda targets: (),
        "source": "made up",
    }
    return SendMethod(**{**facts, **overrides})


def make_delivery(*methods, **overrides):
    facts = {
        "base_urls": {"here": "https://push.example", "there": "https://there.example"},
        "required_keys": ("key", "secret"),
        "secret_keys": frozenset({"secret"}),
        "build_body": lambda said: {"title": said.title},
        "warnings": lambda body: (),
        "native_method": make_method("native", max_ids=None),
        "send_methods": methods or (make_method(),),
        "sign": sign_request,
        "error_codes": (),
    }
    return DeliverySpec(**{**facts, **overrides})


def make_idempotent_method(minutes=15):
    """A way whose vendor drops repeats for so long."""
    return make_method(dedup_window=timedelta(minutes=minutes))


def make_setup_method(max_uses=3, lifetime=None, is_needed=always, **overrides):
    """A way that needs handles."""
    opening = SetupCall(
        build_request=lambda body, targets, application: Request(
            method="POST", path="/open", content=json.dumps({"ids": list_target_ids(targets)}).encode()
        ),
        parse_reply=parse_reply,
        max_uses=max_uses,
        is_needed=is_needed,
        lifetime=lifetime,
        close=lambda handle, application: Request(method="POST", path="/close", content=handle.encode()),
    )
    return make_method("opened", setup_call=opening, **overrides)


def make_upload_method(**overrides):
    """A way whose handles stand for ids."""

    def build_by_handle(call, credentials):
        return build_request(call if call.handle is None else replace(call, targets=()), credentials)

    return make_setup_method(max_uses=1, build_request=build_by_handle, **overrides)


def make_rate_limited_method(calls, seconds):
    return make_method(rate_limits=lambda targets: (RateLimit("push", calls, seconds, "made up"),))


def register_vendors(spec=None, names=("fake",)):
    """Let the vendor `fake`, or others of these *names*, be found, with the delivery *found*; what undoes it."""
    facts = {
        "title": "Fake",
        "target_ids": target_ids,
        "parse": parse_payload,
        "max_ids": BATCH_SIZE,
        "delivery": spec or make_delivery(),
    }
    return audience.vendors.register_vendors(
        *(replace(BASE_VENDOR, name=name, id_columns=(name,), **facts) for name in names)
    )


def make_ids(count):
    return [f"r{number}" for number in range(count)]


def write_run_folder(path: Path, ids, native=(), name="fake") -> Path:
    """A run folder as `emit` writes it."""
    path.mkdir(parents=True)
    bodies = [target_ids(ids[at : at + BATCH_SIZE]) for at in range(0, len(ids), BATCH_SIZE)]
    lines = [json.dumps(each, separators=(",", ":")) + "\n" for each in (*native, *bodies)]
    files = []
    for number, at in enumerate(range(0, len(lines), 1_000), 1):
        data = "".join(lines[at : at + 1_000]).encode()
        file = f"requests-{number:05}.ndjson"
        (path / file).write_bytes(data)
        digest = xxhash.xxh3_128_hexdigest(data)
        files.append({"name": file, "lines": len(lines[at : at + 1_000]), "bytes": len(data), "xxh128": digest})
    manifest = {
        "vendor": name,
        "expression": "everyone",
        "devices": len(ids),
        "native": len(native),
        "batches": len(bodies),
        "id_count": len(ids),
        "skipped_count": 0,
        "files": files,
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def write_campaign_folder(path: Path, **ids) -> Path:
    """A campaign's folder as `campaign` writes it: the *ids* that each vendor tells."""
    for name, some in ids.items():
        write_run_folder(path / name, some, name=name)
    vendors = [{"vendor": name, "assigned": len(some)} for name, some in ids.items()]
    (path / "campaign.json").write_text(json.dumps({"vendors": vendors}))
    return path


class FakeService:
    """The vendor's side: who was told how often, and what happens to calls.

    *fault* is asked for each call that tells, with its number from 1, and says nothing or one of: again, refused,
    stopped, in-doubt, bad-ids (these tell nobody), lost (tells, and the reply is lost), unreached, gone (nothing
    arrives, and the client cannot know). *bad* ids are refused, *named* or not. *drops* repeats of a token.
    """

    def __init__(
        self, fault=lambda number: None, bad_ids=(), names_bad_ids=True, drops_repeats=False, ignored_ids=(), delay=0.0
    ):
        self.delivery_counts, self.call_count, self.setup_count, self.closed_handles = Counter(), 0, 0, []
        self.bodies, self.message_by_token, self.handle_uses, self.uploads = [], {}, Counter(), {}
        self.fault, self.bad_ids, self.names_bad_ids, self.drops_repeats = (
            fault,
            set(bad_ids),
            names_bad_ids,
            drops_repeats,
        )
        self.ignored_ids, self.delay, self.max_concurrent_calls, self.concurrent_calls = set(ignored_ids), delay, 0, 0

    def make_transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle_request)

    async def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/open":
            self.setup_count += 1
            self.uploads[f"h{self.setup_count}"] = json.loads(request.content)["ids"]
            return httpx.Response(200, json={"accepted": f"h{self.setup_count}"})
        if request.url.path == "/close":
            self.closed_handles.append(request.content.decode())
            return httpx.Response(200, json={"accepted": "closed"})
        self.call_count += 1
        number = self.call_count
        self.concurrent_calls += 1
        self.max_concurrent_calls = max(self.max_concurrent_calls, self.concurrent_calls)
        try:
            await asyncio.sleep(self.delay)
            return self._handle_push(number, json.loads(request.content), request)
        finally:
            self.concurrent_calls -= 1

    def _handle_push(self, number, payload, request):
        self.bodies.append(payload)
        fault = self.fault(number)
        if fault == "unreached":
            raise httpx.ConnectError("refused", request=request)
        if fault == "gone":
            raise httpx.ReadTimeout("timeout", request=request)
        if fault in REPLY_TYPES or fault == "bad-ids":
            return httpx.Response(429 if fault == "again" else 400, json={"error": fault, "words": f"call {number}"})
        handle = payload.get("handle")
        self.handle_uses[handle] += 1
        ids = self.uploads[handle] if handle is not None and not payload["to"] else payload["to"]
        wrong = [each for each in ids if each in self.bad_ids]
        if wrong:
            return httpx.Response(400, json={"error": "bad-ids", "ids": wrong if self.names_bad_ids else []})
        if not (self.drops_repeats and payload["token"] in self.message_by_token):
            self.delivery_counts.update(each for each in ids if each not in self.ignored_ids)
            self.delivery_counts.update(["everyone"] if payload.get("everyone") else [])
        name = self.message_by_token.setdefault(payload["token"], f"m{number}")
        if fault == "lost":
            raise httpx.RemoteProtocolError("closed", request=request)
        return httpx.Response(200, json={"accepted": name, "left_out": [e for e in ids if e in self.ignored_ids]})


class FakeServer(ThreadingHTTPServer):
    """Takes many connections at once; five that wait are the usual, and more are cut off."""

    request_queue_size = 128


@contextmanager
def run_server(service, delay=0.0):
    """The *service* on loopback; its URL."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            content = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(delay)
            with lock:
                service.call_count += 1
                answer = service._handle_push(service.call_count, json.loads(content), None)
            self.send_response(answer.status_code)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def handle(self):
            with suppress(ConnectionError):  # the client was killed
                super().handle()

        def log_message(self, *words):
            pass

    with FakeServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def random_faults(seed, **probabilities):
    """A fault for each call by chance: `faults(1, lost=0.1, again=0.2)`."""
    chance = random.Random(seed)

    def pick_fault(number):
        at = chance.random()
        for name, share in probabilities.items():
            if at < share:
                return name.replace("_", "-")
            at -= share
        return None

    return pick_fault


def make_send_options(transport, retry=QUICK_RETRY, concurrency=16) -> SendOptions:
    """How tests send: without patience, to a service or through a transport."""
    through = transport.make_transport() if isinstance(transport, FakeService) else transport
    return SendOptions(retry=retry, concurrency=concurrency, transport=through)


def send_in_process(connection, folder, url, method_kind, command):
    """Send or resume in a process of its own; *answer* gets how many batches are left, and how many in doubt."""
    register_vendors(make_delivery(make_method() if method_kind == "once" else make_idempotent_method()))
    application = Credentials(url, CREDENTIALS.keys)
    patience = RetryPolicy(max_attempts=20, initial_delay=0.01, max_delay=0.1, timeout=10, max_lost=1_000)
    effort = SendOptions(retry=patience, concurrency=8)
    if command == "send":
        found = send(folder, MESSAGE, application, UNLIMITED, options=effort)
    else:
        found = resume(folder, application, options=effort)
    connection.send((found.pending, found.batch_counts["in_doubt"]))


def send_campaign_in_process(connection, folder, url, title, names):
    """Send a campaign in a process of its own, once *answer* says so; it gets how that ended."""
    register_vendors(names=names)
    application = Credentials(url, CREDENTIALS.keys)
    ready = campaign_runs.prepare_all(folder, Message(title=title), lambda to: application, UNLIMITED)
    connection.send("ready")
    connection.recv()
    try:
        campaign_runs.send_all(folder, Message(title=title), ready, SendOptions(QUICK_RETRY))
        connection.send("sent")
    except DeliveryError as error:
        connection.send(error.code)

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
from importlib import import_module
from pathlib import Path

import httpx
import xxhash

from audience import vendor
from audience.delivery import Allowed, Effort, Patience, campaign_runs, resume, send
from audience.errors import DeliveryError, Problem
from audience.language.ast import Everyone, Ids
from audience.messages import Message
from audience.vendors.delivery_spec import (
    Accepted,
    Again,
    Application,
    BadIds,
    Delivery,
    InDoubt,
    Opening,
    Pace,
    Refused,
    Request,
    Stopped,
    Way,
    always,
)

registry = import_module("audience.vendors")  # the name `audience.vendors` is a function
BASE = vendor("engagelab")
SIZE = 10  # ids of a batch
QUICK = Patience(attempts=6, first=0.001, most=0.005, timeout=5, doubts=10_000)
APPLICATION = Application("https://push.example", {"key": "k1", "secret": "s3cr3t-w0rd"})
ANY = Allowed(max_devices=10**9, broadcast=True)
MESSAGE = {"title": "Hi", "body": "there"}
REPLIES = {"again": Again, "refused": Refused, "stopped": Stopped, "in-doubt": InDoubt}


def members(targets):
    return [each for target in targets for each in target.get("to", [])]


def request(call, application):
    ids = members(call.targets)
    said = {"to": ids, "token": call.token, **call.body}
    if any("everyone" in target for target in call.targets):
        said["everyone"] = True
    if call.handle is not None:
        said["handle"] = call.handle
    return Request(method="POST", path="/push", content=json.dumps(said).encode())


def reply(response):
    said = json.loads(response.content)
    if "accepted" in said:
        return Accepted(said["accepted"], tuple(said.get("left_out", ())))
    problem = Problem(said["error"], said.get("words", "the vendor's words"))
    if said["error"] == "bad-ids":
        return BadIds(problem, tuple(said.get("ids", ())))
    return REPLIES[said["error"]](problem)


def signed(request, application, stamp):
    return replace(request, headers={"authorization": application.keys["secret"]})


def listing(ids):
    return {"to": list(ids)}


def parse(payload):
    return Everyone() if "everyone" in payload else Ids("registration_id", tuple(payload["to"]))


def way(name="list", **changes):
    facts = {
        "name": name,
        "ids": SIZE,
        "request": request,
        "reply": reply,
        "paces": lambda targets: (),
        "source": "made up",
    }
    return Way(**{**facts, **changes})


def delivery(*ways, **changes):
    facts = {
        "hosts": {"here": "https://push.example", "there": "https://there.example"},
        "keys": ("key", "secret"),
        "secret": frozenset({"secret"}),
        "body": lambda said: {"title": said.title},
        "warnings": lambda body: (),
        "native": way("native", ids=None),
        "ways": ways or (way(),),
        "sign": signed,
        "codes": (),
    }
    return Delivery(**{**facts, **changes})


def repeating(minutes=15):
    """A way whose vendor drops repeats for so long."""
    return way(repeats=timedelta(minutes=minutes))


def opened(calls=3, lasts=None, needed=always, **changes):
    """A way that needs handles."""
    opening = Opening(
        request=lambda body, targets, application: Request(
            method="POST", path="/open", content=json.dumps({"ids": members(targets)}).encode()
        ),
        reply=reply,
        calls=calls,
        needed=needed,
        lasts=lasts,
        close=lambda handle, application: Request(method="POST", path="/close", content=handle.encode()),
    )
    return way("opened", opening=opening, **changes)


def uploaded(**changes):
    """A way whose handles stand for ids."""

    def by_handle(call, application):
        return request(call if call.handle is None else replace(call, targets=()), application)

    return opened(calls=1, request=by_handle, **changes)


def paced(calls, seconds):
    return way(paces=lambda targets: (Pace("push", calls, seconds, "made up"),))


def register(found=None, names=("fake",)):
    """Let the vendor `fake`, or others of these *names*, be found, with the delivery *found*; what undoes it."""
    facts = {"title": "Fake", "listing": listing, "parse": parse, "batch": SIZE, "delivery": found or delivery()}
    records = {name: replace(BASE, name=name, known_by=(name,), **facts) for name in names}
    before = registry._records
    registry._records = lambda: {**before(), **records}
    return lambda: setattr(registry, "_records", before)


def ids_of(count):
    return [f"r{number}" for number in range(count)]


def folder_of(path: Path, ids, native=(), name="fake") -> Path:
    """A run folder as `emit` writes it."""
    path.mkdir(parents=True)
    bodies = [listing(ids[at : at + SIZE]) for at in range(0, len(ids), SIZE)]
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
        "told": len(ids),
        "left_out": 0,
        "files": files,
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def campaign_of(path: Path, **ids) -> Path:
    """A campaign's folder as `campaign` writes it: the *ids* that each vendor tells."""
    for name, some in ids.items():
        folder_of(path / name, some, name=name)
    vendors = [{"vendor": name, "tells": len(some)} for name, some in ids.items()]
    (path / "campaign.json").write_text(json.dumps({"vendors": vendors}))
    return path


class Service:
    """The vendor's side: who was told how often, and what happens to calls.

    *fault* is asked for each call that tells, with its number from 1, and says nothing or one of: again, refused,
    stopped, in-doubt, bad-ids (these tell nobody), lost (tells, and the reply is lost), unreached, gone (nothing
    arrives, and the client cannot know). *bad* ids are refused, *named* or not. *drops* repeats of a token.
    """

    def __init__(self, fault=lambda number: None, bad=(), named=True, drops=False, left_out=(), delay=0.0):
        self.told, self.calls, self.opens, self.closed = Counter(), 0, 0, []
        self.bodies, self.tokens, self.uses, self.uploads = [], {}, Counter(), {}
        self.fault, self.bad, self.named, self.drops = fault, set(bad), named, drops
        self.left_out, self.delay, self.most, self.now = set(left_out), delay, 0, 0

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/open":
            self.opens += 1
            self.uploads[f"h{self.opens}"] = json.loads(request.content)["ids"]
            return httpx.Response(200, json={"accepted": f"h{self.opens}"})
        if request.url.path == "/close":
            self.closed.append(request.content.decode())
            return httpx.Response(200, json={"accepted": "closed"})
        self.calls += 1
        number = self.calls
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.delay)
            return self._push(number, json.loads(request.content), request)
        finally:
            self.now -= 1

    def _push(self, number, said, request):
        self.bodies.append(said)
        fault = self.fault(number)
        if fault == "unreached":
            raise httpx.ConnectError("refused", request=request)
        if fault == "gone":
            raise httpx.ReadTimeout("timeout", request=request)
        if fault in REPLIES or fault == "bad-ids":
            return httpx.Response(429 if fault == "again" else 400, json={"error": fault, "words": f"call {number}"})
        handle = said.get("handle")
        self.uses[handle] += 1
        ids = self.uploads[handle] if handle is not None and not said["to"] else said["to"]
        wrong = [each for each in ids if each in self.bad]
        if wrong:
            return httpx.Response(400, json={"error": "bad-ids", "ids": wrong if self.named else []})
        if not (self.drops and said["token"] in self.tokens):
            self.told.update(each for each in ids if each not in self.left_out)
            self.told.update(["everyone"] if said.get("everyone") else [])
        name = self.tokens.setdefault(said["token"], f"m{number}")
        if fault == "lost":
            raise httpx.RemoteProtocolError("closed", request=request)
        return httpx.Response(200, json={"accepted": name, "left_out": [e for e in ids if e in self.left_out]})


class Server(ThreadingHTTPServer):
    """Takes many connections at once; five that wait are the usual, and more are cut off."""

    request_queue_size = 128


@contextmanager
def serving(service, delay=0.0):
    """The *service* on loopback; its URL."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            content = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(delay)
            with lock:
                service.calls += 1
                answer = service._push(service.calls, json.loads(content), None)
            self.send_response(answer.status_code)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def handle(self):
            with suppress(ConnectionError):  # the client was killed
                super().handle()

        def log_message(self, *words):
            pass

    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def faults(seed, **shares):
    """A fault for each call by chance: `faults(1, lost=0.1, again=0.2)`."""
    chance = random.Random(seed)

    def fault(number):
        at = chance.random()
        for name, share in shares.items():
            if at < share:
                return name.replace("_", "-")
            at -= share
        return None

    return fault


def effort(transport, patience=QUICK, concurrency=16) -> Effort:
    """How tests send: without patience, to a service or through a transport."""
    through = transport.transport() if isinstance(transport, Service) else transport
    return Effort(patience=patience, concurrency=concurrency, transport=through)


def work(answer, folder, url, kind, what):
    """Send or resume in a process of its own; *answer* gets how many batches are left, and how many in doubt."""
    register(delivery(way() if kind == "once" else repeating()))
    application = Application(url, APPLICATION.keys)
    patience = Patience(attempts=20, first=0.01, most=0.1, timeout=10, doubts=1_000)
    effort = Effort(patience=patience, concurrency=8)
    if what == "send":
        found = send(folder, MESSAGE, application, ANY, effort=effort)
    else:
        found = resume(folder, application, effort=effort)
    answer.send((found.left, found.batches["in doubt"]))


def work_all(answer, folder, url, title, names):
    """Send a campaign in a process of its own, once *answer* says so; it gets how that ended."""
    register(names=names)
    application = Application(url, APPLICATION.keys)
    ready = campaign_runs.prepare_all(folder, Message(title=title), lambda to: application, ANY)
    answer.send("ready")
    answer.recv()
    try:
        campaign_runs.send_all(folder, Message(title=title), ready, Effort(QUICK))
        answer.send("sent")
    except DeliveryError as error:
        answer.send(error.code)

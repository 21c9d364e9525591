"""What a tester asks the sandbox itself: who was told, the log, new faults, a fresh start."""

import json
from dataclasses import asdict
from typing import Any

from audience.errors import AudienceError, DeliveryError, Problem
from audience.sandbox.faults import Fault, Faults
from audience.sandbox.http_types import JSON, Call
from audience.sandbox.router import Desks, entries, summary

PATHS = ("/_sandbox/told", "/_sandbox/log", "/_sandbox/faults", "/_sandbox/reset")


def answer(call: Call, desks: Desks) -> tuple[int, Any]:
    """The HTTP status and the JSON that *call* is answered with."""
    try:
        match call.method, call.path.removeprefix("/_sandbox/"):
            case "GET", "told":
                return 200, _told(call, desks)
            case "GET", "log":
                found = entries(desks, call.query.get("vendor"))
                return 200, found[-int(call.query.get("last", "1000")) :]
            case "GET", "faults":
                return 200, [asdict(rule) for rule in desks.faults.rules]
            case "POST", "faults":
                return 200, _fail(call.body, desks)
            case "POST", "reset":
                desks.reset()
                return 200, {}
    except AudienceError as error:
        return 400, {"problems": [{"code": each.code, "message": each.message} for each in error.problems]}
    except ValueError as error:
        return 400, {"problems": [{"code": "bad-request", "message": str(error)}]}
    return 404, {"problems": [{"code": "no-such-place", "message": f"there are {', '.join(PATHS)}"}]}


def _told(call: Call, desks: Desks) -> JSON:
    """The summary of each vendor, or of one; with ids=1 or a message also how often each id was told."""
    vendor, message = call.query.get("vendor"), call.query.get("message")
    if vendor is None:
        return {name: summary(desks, name) for name in desks.desks}
    vendor = canonical(vendor, desks)
    facts = summary(desks, vendor)
    if message or call.query.get("ids") == "1":
        with desks.lock:
            facts["ids"] = desks.desks[vendor].told.by_id(message)
    return facts


def _fail(body: bytes, desks: Desks) -> JSON:
    """Put other faults in the place of those that there are."""
    given = json.loads(body or b"[]")
    if not isinstance(given, list):
        raise DeliveryError(Problem("bad-fault", "faults are a list"))
    rules = [Fault.of(each) for each in given]
    with desks.lock:
        desks.faults = Faults(rules)
    return {"faults": len(rules)}


def canonical(vendor: str, desks: Desks) -> str:
    """The desk of *vendor*: both versions of EMAS are one; DeliveryError where there is none."""
    name = "emas" if vendor == "emas_v2" else vendor
    if name not in desks.desks:
        raise DeliveryError(Problem("unknown-vendor", f"no vendor {vendor!r}", hint=", ".join(desks.desks)))
    return name

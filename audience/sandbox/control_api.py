"""What a tester asks the sandbox itself: who was told, the log, new faults, a fresh start."""

import json
from dataclasses import asdict
from typing import Any

from audience.errors import AudienceError, DeliveryError, Problem
from audience.sandbox.faults import Fault, FaultInjector
from audience.sandbox.http_types import HttpCall, JsonObject
from audience.sandbox.router import Router, list_log_entries, summarize_deliveries

CONTROL_PATHS = ("/_sandbox/delivered", "/_sandbox/log", "/_sandbox/faults", "/_sandbox/reset")


def handle_control_call(call: HttpCall, router: Router) -> tuple[int, Any]:
    """The HTTP status and the JSON that *call* is answered with."""
    try:
        match call.method, call.path.removeprefix("/_sandbox/"):
            case "GET", "delivered":
                return 200, _delivery_summary(call, router)
            case "GET", "log":
                found = list_log_entries(router, call.query.get("vendor"))
                return 200, found[-int(call.query.get("last", "1000")) :]
            case "GET", "faults":
                return 200, [asdict(rule) for rule in router.faults.rules]
            case "POST", "faults":
                return 200, _replace_faults(call.body, router)
            case "POST", "reset":
                router.reset()
                return 200, {}
    except AudienceError as error:
        return 400, {"problems": [{"code": each.code, "message": each.message} for each in error.problems]}
    except ValueError as error:
        return 400, {"problems": [{"code": "bad-request", "message": str(error)}]}
    return 404, {"problems": [{"code": "no-such-place", "message": f"there are {', '.join(CONTROL_PATHS)}"}]}


def _delivery_summary(call: HttpCall, router: Router) -> JsonObject:
    """The summary of each vendor, or of one; with ids=1 or a message also how often each id was told."""
    vendor, message = call.query.get("vendor"), call.query.get("message")
    if vendor is None:
        return {name: summarize_deliveries(router, name) for name in router.states}
    vendor = resolve_vendor_name(vendor, router)
    facts = summarize_deliveries(router, vendor)
    if message or call.query.get("ids") == "1":
        with router.lock:
            facts["ids"] = router.states[vendor].delivery_log.counts_by_id(message)
    return facts


def _replace_faults(body: bytes, router: Router) -> JsonObject:
    """Put other faults in the place of those that there are."""
    given = json.loads(body or b"[]")
    if not isinstance(given, list):
        raise DeliveryError(Problem("bad-fault", "faults are a list"))
    rules = [Fault.from_json(each) for each in given]
    with router.lock:
        router.faults = FaultInjector(rules)
    return {"faults": len(rules)}


def resolve_vendor_name(vendor: str, router: Router) -> str:
    """The desk of *vendor*: both versions of EMAS are one; DeliveryError where there is none."""
    name = "emas" if vendor == "emas_v2" else vendor
    if name not in router.states:
        raise DeliveryError(Problem("unknown-vendor", f"no vendor {vendor!r}", hint=", ".join(router.states)))
    return name

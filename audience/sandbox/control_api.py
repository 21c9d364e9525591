"""Control interface of the sandbox: deliveries, tags, log, faults, reset."""

import json
from dataclasses import asdict
from typing import Any

from audience.errors import AudienceError, DeliveryError, Problem
from audience.sandbox.endpoints import load_endpoints
from audience.sandbox.faults import Fault, FaultInjector
from audience.sandbox.http_types import HttpCall, JsonObject
from audience.sandbox.request_checks import number_or_text
from audience.sandbox.router import Router, list_deliveries, list_log_entries, summarize_deliveries

CONTROL_PATHS = tuple(f"/_sandbox/{name}" for name in "delivered deliveries tags log faults reset".split())


def handle_control_call(call: HttpCall, router: Router) -> tuple[int, Any]:
    """Return the HTTP status and the JSON body for a call to `/_sandbox/…`."""
    try:
        match call.method, call.path.removeprefix("/_sandbox/"):
            case "GET", "delivered":
                return 200, _delivery_summary(call, router)
            case "GET", "deliveries":
                return 200, _list_deliveries(call, router)
            case "GET", "tags":
                return 200, _show_tags(call, router)
            case "GET", "log":
                return 200, _list_log(call, router)
            case "GET", "faults":
                return 200, [asdict(rule) for rule in router.faults.rules]
            case "POST", "faults":
                return 200, _replace_faults(call.body, router)
            case "POST", "reset":
                router.reset()
                return 200, {}
    except AudienceError as error:
        return 400, {"problems": [{"code": problem.code, "message": problem.message} for problem in error.problems]}
    except (ValueError, RecursionError) as error:
        return 400, {"problems": [{"code": "bad-request", "message": str(error)}]}
    return 404, {
        "problems": [{"code": "no-such-place", "message": f"not found; the paths are {', '.join(CONTROL_PATHS)}"}]
    }


def _delivery_summary(call: HttpCall, router: Router) -> JsonObject:
    """Return the summary of each vendor, or of one; with `ids=1` or a message also the deliveries of each id."""
    vendor, message = call.query.get("vendor"), call.query.get("message")
    if vendor is None:
        return {name: summarize_deliveries(router, name) for name in router.states}
    vendor = resolve_vendor_name(vendor, router)
    summary = summarize_deliveries(router, vendor)
    if message or call.query.get("ids") == "1":
        with router.lock:
            summary["ids"] = router.states[vendor].delivery_log.counts_by_id(message)
    return summary


def _list_log(call: HttpCall, router: Router) -> list[JsonObject]:
    """Return the last calls, the oldest first."""
    last = number_or_text(call.query.get("last", "1000"))
    if not isinstance(last, int) or last < 1:
        raise DeliveryError(Problem("bad-request", f"last is a number of calls from 1, not {last!r:.50}"))
    return list_log_entries(router, call.query.get("vendor"))[-last:]


def _list_deliveries(call: HttpCall, router: Router) -> list[JsonObject]:
    """Return the deliveries of each vendor, or of one; with a message only those of that message."""
    vendor = call.query.get("vendor")
    names = list(router.states) if vendor is None else [resolve_vendor_name(vendor, router)]
    return [entry for name in names for entry in list_deliveries(router, name, call.query.get("message"))]


def _show_tags(call: HttpCall, router: Router) -> Any:
    """Return the number of devices of each tag of a vendor; the ids of those with one tag; or the tags of one id."""
    if "vendor" not in call.query:
        raise DeliveryError(Problem("bad-request", "vendor is missing", hint=f"?vendor={next(iter(router.states))}"))
    state = router.states[resolve_vendor_name(call.query["vendor"], router)]
    with router.lock:
        if (name := call.query.get("tag")) is not None:
            return state.population.ids_of_rows(state.vendor, state.tags.rows_with_tag(name))
        if (device_id := call.query.get("id")) is None:
            return state.tags.count_devices()
        row = state.population.rows_by_id(state.vendor).get(device_id)
        if row is None:
            raise DeliveryError(Problem("bad-request", f"{state.vendor} knows no device {device_id!r:.100}"))
        return state.tags.tags_of(row)


def _replace_faults(body: bytes, router: Router) -> JsonObject:
    """Replace the current faults with those in *body*."""
    faults = json.loads(body or b"[]")
    if not isinstance(faults, list):
        raise DeliveryError(Problem("bad-fault", "expected a list of faults"))
    rules = [Fault.from_json(fault) for fault in faults]
    with router.lock:
        router.faults = FaultInjector(rules)
    return {"faults": len(rules)}


def resolve_vendor_name(vendor: str, router: Router) -> str:
    """Return the name under which *vendor* is emulated; several versions can share one.

    Raises:
        DeliveryError: No such vendor is emulated.
    """
    endpoints = load_endpoints().get(vendor)
    name = endpoints.NAME if endpoints else vendor
    if name not in router.states:
        raise DeliveryError(
            Problem("unknown-vendor", f"vendor {vendor!r} is not emulated", hint=", ".join(router.states))
        )
    return name

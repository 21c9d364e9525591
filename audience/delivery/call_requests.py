"""Requests of one call, as dry runs and previews build them: first for a key and for a handle, then the push."""

from uuid import uuid4

from audience.vendors.delivery_spec import Credentials, Payload, Request, SendCall, SendMethod

PLACEHOLDER_HANDLE = "0"


def build_call(
    method: SendMethod, targets: tuple[Payload, ...], body: Payload, idempotency_key: str | None = None
) -> SendCall:
    """Return the call of *method* to *targets*, with a placeholder for the handle of a setup call."""
    handle = None if method.get_setup_call(targets) is None else PLACEHOLDER_HANDLE
    return SendCall(targets=targets, body=body, handle=handle, idempotency_key=idempotency_key or str(uuid4()))


def build_requests(
    call: SendCall, method: SendMethod, credentials: Credentials, *, opens_handle: bool, requests_keys: bool
) -> list[Request]:
    """Return the requests of *call*: for its keys with *requests_keys*, for a handle with *opens_handle*, the push."""
    source = method.get_key_source(None)
    key_requests = [source.build_request(credentials)] if source is not None and requests_keys else []
    setup_call = method.get_setup_call(call.targets)
    setup = [setup_call.build_request(call.body, call.targets, credentials)] if setup_call and opens_handle else []
    return [*key_requests, *setup, method.build_request(call, credentials)]

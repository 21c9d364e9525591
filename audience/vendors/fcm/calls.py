"""Calls of FCM: `POST /v1/projects/{project}/messages:send`, one for each token, topic or condition.

Sources: the discovery document of the API, revision 20261023, as google-api-python-client 2.202.0 has it, and
https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas. FCM has no batches: the multicast of Firebase's
clients is as many calls. It has no key against repeats either, so a call without a reply stays in doubt; a 503 was
delivered and repeated by a client: https://github.com/firebase/firebase-admin-node/issues/1248.

A call has a connection of its own. HTTP/2 would put a hundred calls on one connection, and one that breaks would leave
all of them in doubt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import quote

from audience.errors import Problem
from audience.vendors.delivery_spec import (
    Credentials,
    DeliverySpec,
    Payload,
    RateLimit,
    Request,
    SendCall,
    SendMethod,
    SigningContext,
)
from audience.vendors.fcm.access import ACCESS_TOKENS, API_HOST, check_keys
from audience.vendors.fcm.message import build_body, set_expiration, unsupported_fields
from audience.vendors.fcm.message_rules import MAX_TOPIC_BYTES, measure_body
from audience.vendors.fcm.replies import CODES, parse_reply
from audience.vendors.fcm.warnings import body_warnings
from audience.vendors.payload_reader import dump_json

BASE_URLS = {"default": API_HOST}
API = "https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send"
QUOTAS = "https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas"
RATE_LIMIT = RateLimit("messages", 600_000, 60.0, QUOTAS)
CALLS_AT_ONCE = 200  # for 2,000 a second at 100 ms a call
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}
LISTS = {"tokens": "token", "fids": "fid"}  # what clients send one by one


def build_message(call: SendCall, credentials: Credentials) -> Request:
    """Build the message to the one token, topic or condition of *call*.

    >>> call = SendCall(targets=({"tokens": ["t1"]},), body={"data": {"n": "1"}}, handle=None, idempotency_key="")
    >>> request = build_message(call, Credentials("https://…", {"project_id": "p1"}))
    >>> request.path, request.content.decode()
    ('/v1/projects/p1/messages:send', '{"message":{"data":{"n":"1"},"token":"t1"}}')
    """
    return _build_request(call, credentials, {})


def build_dry_run(call: SendCall, credentials: Credentials) -> Request:
    """Build the same request with `validate_only`: FCM checks it, its token too, and delivers nothing."""
    return _build_request(call, credentials, {"validate_only": True})


def _build_request(call: SendCall, credentials: Credentials, options: Payload) -> Request:
    (target,) = call.targets
    payload = {**options, "message": {**call.body, **_read_target(target, credentials)}}
    path = f"/v1/projects/{quote(credentials.keys['project_id'], safe='')}/messages:send"
    return Request(method="POST", path=path, headers=JSON_HEADERS, content=dump_json(payload).encode())


def _read_target(target: Payload, credentials: Credentials) -> Payload:
    """Return the key of a message that says whom it is for; ids are tokens, or what the key `ids` says."""
    for name, key in LISTS.items():
        if name in target:
            (identifier, *_) = target[name]
            return {(credentials.keys.get("ids") or key) if name == "tokens" else key: identifier}
    message: Payload = target["message"]
    return message


def sign(request: Request, credentials: Credentials, context: SigningContext) -> Request:
    """Add the access token."""
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {context.access_token}"})


def target_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    """Find why *body* cannot go to *targets*: a list is several calls, and a topic takes half as much as a token."""
    for target in targets:
        for name in LISTS:
            if len(target.get(name, ())) > 1:
                message = f"a call of FCM is for one of {name}, found {len(target[name])}"
                yield Problem("no-such-target", message, path=f"$.{name}", hint="send by ids, from an index")
        if {"topic", "condition"} & {*target.get("message", {})} and (size := measure_body(body)) > MAX_TOPIC_BYTES:
            message = f"a message to topics has {size:,} bytes; the maximum is {MAX_TOPIC_BYTES:,}"
            yield Problem("too-long", message, path="$")


NATIVE = SendMethod(
    name="send",
    max_ids=None,
    build_request=build_message,
    parse_reply=parse_reply,
    rate_limits=lambda targets: (RATE_LIMIT,),
    source=API,
    check=target_problems,
    concurrency=CALLS_AT_ONCE,
)
DELIVERY = DeliverySpec(
    base_urls=BASE_URLS,
    required_keys=("project_id", "client_email", "private_key_id", "private_key"),
    secret_keys=frozenset({"private_key"}),
    key_file="service_account",
    check_keys=check_keys,
    access_tokens=ACCESS_TOKENS,
    application_keys=("project_id",),
    optional_keys={"ids": ("token", "fid")},
    build_body=build_body,
    warnings=body_warnings,
    unsupported_fields=unsupported_fields,
    native_method=NATIVE,
    send_methods=(replace(NATIVE, name="token", max_ids=1),),
    sign=sign,
    error_codes=CODES,
    dry_run=build_dry_run,
    apply_timestamps=set_expiration,
)

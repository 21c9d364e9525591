"""Previews: the final requests of a run, one example of each, without ids and keys, before anything is sent.

A preview builds its requests as a dry run does: from the bodies of each part, by the same functions. No key of an
application is used: names of keys take the place of their values.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote
from warnings import catch_warnings, simplefilter

from audience.counts import format_count
from audience.delivery.call_requests import build_call, build_requests
from audience.delivery.costs import choose_method, method_by_name, placeholder_credentials
from audience.delivery.part_bodies import build_bodies
from audience.delivery.prepare import build_cost_input, check_message
from audience.errors import AudienceError, DeliveryError, MessageError, Problem
from audience.language.ast import Ids, walk
from audience.messages import PLATFORMS, Message, message_for_platform
from audience.requests.division import require_same_division
from audience.requests.parts import Part
from audience.requests.reader import RequestFolder, open_requests
from audience.vendors import require_delivery
from audience.vendors.delivery_spec import Credentials, DeliverySpec, Payload, Request, SendMethod
from audience.vendors.spec import Vendor

IDEMPOTENCY_KEY = "<idempotency key>"
_QUOTED_NAME = re.compile(r"%3C[\w%]+?%3E")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPreview:
    """Example of the requests that a method makes with one body.

    Attributes:
        method: Name of the send method.
        platform: Platform of the application; None if its vendor has one application for all.
        parts: Parts of the run that get this body.
        device_count: Number of their ids; of native requests None, because the vendor finds the devices.
        call_count: Number of push calls.
        requests: The requests of one call, in their order, without ids and keys.
        problems: Why the method cannot carry the body.
        chosen: Whether a send uses this method, without an option that names another.
    """

    method: str
    platform: str | None
    parts: tuple[Part, ...]
    device_count: int | None
    call_count: int
    requests: tuple[Mapping[str, Any], ...]
    problems: tuple[Problem, ...] = ()
    chosen: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPreview:
    """Preview of the run of one vendor, with what the vendor lacks, shortens or ignores in the message."""

    vendor: str
    requests: tuple[RequestPreview, ...]
    warnings: tuple[Problem, ...]


def preview_run(
    folder: Path, message: Message, credentials: Credentials | None = None, method_name: str | None = None
) -> RunPreview:
    """Return an example of each request that sending *message* to the requests in *folder* can make.

    Args:
        folder: Request folder of one vendor.
        message: The message.
        credentials: The application. Without them a vendor whose applications have one platform shows each of them.
        method_name: Name of the only send method to show; by default all.

    Raises:
        DeliveryError: The folder is damaged or divided otherwise than the message, or there is no such method.
        MessageError: The vendor would reject the message.
    """
    check_message(message)
    requests = open_requests(folder)
    require_same_division(message, requests.division, folder)
    delivery = require_delivery(requests.vendor)
    if method_name is not None:
        method_by_name(delivery, method_name)
    previews, warnings = list[RequestPreview](), list[Problem]()
    for application in _iter_applications(delivery, message, credentials):
        bodies = build_bodies(message, requests.division, requests.parts, delivery, application)
        warnings += bodies.list_warnings(delivery)
        contents = _group_parts(bodies.bodies, bodies.numbers, requests.parts)
        previews += _iter_natives(requests, delivery, contents[0][0], application, method_name)
        chosen = _find_chosen(requests, bodies.bodies, application, method_name)
        for method in delivery.send_methods:
            if method_name in (None, method.name) and requests.id_count:
                found = _iter_methods(requests.vendor, delivery, method, contents, application)
                previews += (replace(preview, chosen=method.name == chosen) for preview in found)
    return RunPreview(vendor=requests.vendor.name, requests=tuple(previews), warnings=tuple(dict.fromkeys(warnings)))


def _find_chosen(
    requests: RequestFolder, bodies: Sequence[Payload], application: Credentials, method_name: str | None
) -> str | None:
    """Return the name of the method that a send of the ids uses; None if it would be refused."""
    try:
        return choose_method(build_cost_input(requests, bodies, application), method_name).name
    except DeliveryError:
        return None


def _iter_applications(
    delivery: DeliverySpec, message: Message, credentials: Credentials | None
) -> Iterator[Credentials]:
    """Yield the application, or one with names of keys for each platform that the message is for."""
    if credentials is not None:
        yield credentials
        return
    application = placeholder_credentials(delivery)
    platforms = delivery.optional_keys.get("platform", ()) if delivery.serves_one_platform else ()
    for platform in platforms:
        if not message.platforms or platform in message.platforms:
            yield replace(application, keys={**application.keys, "platform": platform})
    if not platforms:
        yield application


def _group_parts(
    bodies: Sequence[Payload], numbers: Sequence[int], parts: Sequence[Part]
) -> list[tuple[Payload, tuple[Part, ...]]]:
    """Return each body with its parts; bodies that are equal for two texts are one."""
    return [
        (body, tuple(part for part, own in zip(parts, numbers, strict=True) if own == number))
        for number, body in enumerate(bodies)
    ]


def _iter_natives(
    requests: RequestFolder, delivery: DeliverySpec, body: Payload, application: Credentials, method_name: str | None
) -> Iterator[RequestPreview]:
    method = delivery.native_method
    if method_name not in (None, method.name):
        return
    for number in range(requests.native_count):
        target = elide_ids(requests.native_payload(number), requests.vendor)
        yield _preview_call(method, delivery, body, (target,), application, parts=(), call_count=1)


def _iter_methods(
    vendor: Vendor,
    delivery: DeliverySpec,
    method: SendMethod,
    contents: Iterable[tuple[Payload, tuple[Part, ...]]],
    application: Credentials,
) -> Iterator[RequestPreview]:
    """Yield one example of the calls of *method* with each body: the first task of the largest call."""
    max_ids = method.max_ids or 1
    for body, parts in contents:
        largest = min(max(map(len, parts)), max_ids, vendor.max_ids)
        target = vendor.target_ids([f"<{format_count(largest, 'id')}>"])
        calls = sum(-(-len(part) // max_ids) for part in parts)
        yield _preview_call(method, delivery, body, (target,), application, parts=parts, call_count=calls)


def _preview_call(
    method: SendMethod,
    delivery: DeliverySpec,
    body: Payload,
    targets: tuple[Payload, ...],
    application: Credentials,
    *,
    parts: tuple[Part, ...],
    call_count: int,
) -> RequestPreview:
    stamped, problems, built = delivery.apply_timestamps(body, datetime.now(UTC)), list[Problem](), list[Request]()
    problems += method.check(stamped, targets, application)
    if not problems:
        call = build_call(method, targets, stamped, IDEMPOTENCY_KEY)
        keyless = _without_keys(application, delivery)
        built = build_requests(call, method, keyless, opens_handle=True, requests_keys=True)
    return RequestPreview(
        method=method.name,
        platform=application.keys.get("platform") if delivery.serves_one_platform else None,
        parts=parts,
        device_count=sum(map(len, parts)) if parts else None,
        call_count=call_count,
        requests=tuple(map(describe_request, built)),
        problems=tuple(problems),
    )


def _without_keys(application: Credentials, delivery: DeliverySpec) -> Credentials:
    """Return *application* with the name of each key in place of its value."""
    names = {name: f"<{name}>" for name in delivery.required_keys}
    return replace(application, keys={**application.keys, **names})


def describe_request(request: Request) -> dict[str, Any]:
    """Return an unsigned request as JSON data: a body that is neither JSON nor a form by its size.

    >>> describe_request(Request(method="POST", path="/v4/push", content=b'{"to":"all"}'))
    {'method': 'POST', 'path': '/v4/push', 'body': {'to': 'all'}}
    """
    description: dict[str, Any] = {"method": request.method, "path": _show_path(request.path)}
    if request.query:
        description["query"] = {name: _read_json(value) for name, value in request.query.items()}
    if request.content:
        description["body"] = _read_content(request)
    return description


def _show_path(path: str) -> str:
    """Return *path* with the names that take the place of keys as they are written elsewhere.

    >>> _show_path("/v1/%3Cclient_id%3E/messages:send")
    '/v1/<client_id>/messages:send'
    """
    return _QUOTED_NAME.sub(lambda match: unquote(match[0]), path)


def _read_content(request: Request) -> Any:
    content_type = {name.lower(): value for name, value in request.headers.items()}.get("content-type", "")
    if content_type.startswith("multipart/"):
        return "<upload of the ids>"
    text = request.content.decode()
    if content_type.startswith("application/x-www-form-urlencoded"):
        return {name: _read_json(value) for name, value in parse_qsl(text, keep_blank_values=True)}
    return _read_json(text)


def _read_json(text: str) -> Any:
    """Return the object or list in *text*, or *text* itself."""
    if text[:1] in ("{", "["):
        with suppress(ValueError):
            return json.loads(text)
    return text


def elide_ids(payload: Payload, vendor: Vendor) -> Payload:
    """Return a native payload with the number of ids in place of each list of them."""
    try:
        with catch_warnings():
            simplefilter("ignore")
            ids = {value for node in walk(vendor.parse(payload)) if isinstance(node, Ids) for value in node.values}
    except AudienceError:
        return dict.fromkeys(payload, "<hidden>")
    return {key: _elide(value, ids) for key, value in payload.items()}


def _elide(value: Any, ids: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _elide(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        if value and all(item in ids for item in value if isinstance(item, str)) and isinstance(value[0], str):
            return [f"<{format_count(len(value), 'id')}>"]
        return [_elide(item, ids) for item in value]
    if isinstance(value, str) and ids and set(value.split(",")) <= ids:
        return f"<{format_count(len(value.split(',')), 'id')}>"
    return value


# Platforms. ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformPreview:
    """Texts that devices of one platform, variant and language get, and the body for this platform alone."""

    variant: str | None
    language: str | None
    platform: str
    title: str | None
    body: str | None
    payload: Payload | None
    problems: tuple[Problem, ...]


def iter_platforms(
    delivery: DeliverySpec, contents: Iterable[tuple[str | None, str | None, Message]]
) -> Iterator[PlatformPreview]:
    """Yield what each platform gets of each message of *contents*, which have the variant and language before them."""
    for variant, language, message in contents:
        for platform in message.platforms or PLATFORMS:
            payload, problems = None, tuple[Problem, ...]()
            try:
                payload = delivery.build_body(replace(message, platforms=(platform,)))
            except MessageError as error:
                problems = error.problems
            values = message_for_platform(message, platform)
            yield PlatformPreview(
                variant=variant,
                language=language,
                platform=platform,
                title=values.title,
                body=values.body,
                payload=payload,
                problems=problems,
            )

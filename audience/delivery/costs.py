"""What each way of a vendor costs for a plan: calls, bytes, seconds under its paces; the cheapest is taken."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from audience.delivery.transport.rate_limit import call_interval
from audience.errors import DeliveryError, Problem
from audience.language.suggest import did_you_mean
from audience.requests.reader import split_into_chunks
from audience.vendors.delivery_spec import Credentials, DeliverySpec, RateLimit, Request, SendCall, SendMethod
from audience.vendors.spec import Payload, Vendor

MAX_SAMPLE_IDS = 1_000  # ids that are enough to tell how long a call with more of them is
PLACEHOLDER_IDEMPOTENCY_KEY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostInput:
    """What is to be told: *native* requests, and *ids* ids, of which *sample* are some."""

    vendor: Vendor
    delivery: DeliverySpec
    body: Payload
    credentials: Credentials
    native_payloads: tuple[Payload, ...]
    id_count: int
    sample_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """What *way* costs: *openings* of the *calls* tell nobody; *bytes* are reckoned from one or two calls.

    *worth* is whether there are as many ids as it is thought of for, *refused* why the message cannot go that way.
    """

    method: str
    calls: int
    setup_calls: int
    request_bytes: int
    seconds: float
    worthwhile: bool = True
    problems: tuple[Problem, ...] = ()


def estimate_methods(cost_input: CostInput) -> list[CostEstimate]:
    """The price of each way to tell the ids, the cheapest first; those that cannot be taken come last."""
    if not cost_input.id_count:
        return []
    found = [_estimate_method(cost_input, way) for way in cost_input.delivery.send_methods]
    return sorted(found, key=lambda price: (bool(price.problems), not price.worthwhile, *_cost_key(price)))


def estimate_native(cost_input: CostInput) -> CostEstimate:
    """The price of the native requests."""
    way = cost_input.delivery.native_method
    refused = [
        problem
        for each in cost_input.native_payloads
        for problem in way.check(cost_input.body, (each,), cost_input.credentials)
    ]
    opened = [each for each in cost_input.native_payloads if way.get_setup_call((each,)) is not None]
    size = (
        0
        if refused
        else sum(
            _call_bytes(cost_input, way, (each,)) + _setup_bytes(cost_input, way, (each,))
            for each in cost_input.native_payloads
        )
    )
    return CostEstimate(
        method=way.name,
        calls=len(cost_input.native_payloads) + len(opened),
        setup_calls=len(opened),
        request_bytes=size,
        seconds=_estimate_seconds(
            [(pace, 1) for each in cost_input.native_payloads for pace in way.rate_limits((each,))]
        ),
        problems=tuple(dict.fromkeys(refused)),
    )


def choose_method(cost_input: CostInput, name: str | None = None) -> SendMethod:
    """The way called *name*, or else the cheapest.

    Raises DeliveryError where there is none of that name, or where the message cannot go to its targets.
    """
    if cost_input.native_payloads and (native := estimate_native(cost_input)).problems:
        raise DeliveryError(*native.problems)
    if name is not None:
        _require_usable_method(cost_input, name)
    found = [price for price in estimate_methods(cost_input) if name in (None, price.method)]
    if cost_input.id_count and found and found[0].problems:
        raise DeliveryError(*found[0].problems)
    return method_by_name(
        cost_input.delivery, name or (found[0].method if found else cost_input.delivery.native_method.name)
    )


def _require_usable_method(cost_input: CostInput, name: str) -> None:
    """Raise DeliveryError where nothing of *order* goes by the way called *name*."""
    native = cost_input.delivery.native_method.name
    if cost_input.id_count and name not in [way.name for way in cost_input.delivery.send_methods]:
        raise DeliveryError(_unknown_method_problem(cost_input.delivery, name))
    if not cost_input.id_count and cost_input.native_payloads and name != native:
        method_by_name(cost_input.delivery, name)
        message = f"nothing of this plan goes by ids, and so nothing by {name}: all of it goes by {native}"
        raise DeliveryError(Problem("no-ids", message, hint="emit it with --by-ids"))


def method_by_name(delivery: DeliverySpec, name: str) -> SendMethod:
    """The way called *name*; DeliveryError where there is none.

    Where nothing goes by ids, the one of native requests stands for it.
    """
    ways = {way.name: way for way in (delivery.native_method, *delivery.send_methods)}
    if name not in ways:
        raise DeliveryError(_unknown_method_problem(delivery, name))
    return ways[name]


def _unknown_method_problem(delivery: DeliverySpec, name: str) -> Problem:
    names = [way.name for way in delivery.send_methods]
    hint = did_you_mean(name, names) or f"one of {', '.join(names)}"
    return Problem("unknown-method", f"no way to tell ids is called {name!r}", hint=hint)


def placeholder_credentials(delivery: DeliverySpec) -> Credentials:
    """An application whose keys say nothing, for prices that nobody's keys are needed for."""
    keys = {
        **dict.fromkeys(delivery.required_keys, "0"),
        **{name: values[0] for name, values in delivery.optional_keys.items()},
    }
    return Credentials(next(iter(delivery.base_urls.values())), keys)


def _estimate_method(cost_input: CostInput, method: SendMethod) -> CostEstimate:
    opening, targets = method.setup_call, _build_targets(cost_input, method, list(cost_input.sample_ids))
    most = method.max_ids or 1
    calls = -(-cost_input.id_count // most)
    openings = 0 if opening is None else -(-calls // opening.max_uses)
    paces = [(pace, calls) for pace in method.rate_limits(targets)]
    paces += [(pace, openings) for pace in (opening.rate_limits if opening is not None else ())]
    refused = tuple(method.check(cost_input.body, targets, cost_input.credentials))
    return CostEstimate(
        method=method.name,
        calls=calls + openings,
        setup_calls=openings,
        request_bytes=0
        if refused
        else round(_estimate_bytes(cost_input, method, cost_input.id_count / calls, calls, openings)),
        seconds=_estimate_seconds(paces),
        worthwhile=cost_input.id_count >= method.min_ids,
        problems=refused,
    )


def _cost_key(estimate: CostEstimate) -> tuple[float, int, int]:
    return estimate.seconds, estimate.calls, estimate.request_bytes


def _estimate_seconds(calls_by_limit: Sequence[tuple[RateLimit, int]]) -> float:
    """How long so many calls take under their *paces*; the first one may leave at once."""
    taken: Counter[str] = Counter()
    widest: dict[str, float] = {}
    for pace, calls in calls_by_limit:
        taken[pace.name] += calls
        widest[pace.name] = max(widest.get(pace.name, 0.0), call_interval(pace))
    return max((widest[name] * max(0, calls - 1) for name, calls in taken.items()), default=0.0)


def _estimate_bytes(
    cost_input: CostInput, method: SendMethod, ids_per_call: float, calls: int, setup_calls: int
) -> float:
    """The bytes of *calls* with *each* ids on average, and of their *openings*."""
    told = calls * _extrapolate_size(
        lambda ids: _call_bytes(cost_input, method, _build_targets(cost_input, method, ids)),
        cost_input.sample_ids,
        ids_per_call,
    )
    if not setup_calls:
        return told
    return told + setup_calls * _extrapolate_size(
        lambda ids: _setup_bytes(cost_input, method, _build_targets(cost_input, method, ids)),
        cost_input.sample_ids,
        ids_per_call,
    )


def _call_bytes(cost_input: CostInput, method: SendMethod, targets: Sequence[Payload]) -> int:
    """The bytes of a call to *targets*."""
    handle = None if method.get_setup_call(targets) is None else "0"
    call = SendCall(
        targets=tuple(targets), body=cost_input.body, handle=handle, idempotency_key=PLACEHOLDER_IDEMPOTENCY_KEY
    )
    return _request_bytes(method.build_request(call, cost_input.credentials))


def _setup_bytes(cost_input: CostInput, method: SendMethod, targets: Sequence[Payload]) -> int:
    """The bytes of the opening of a call to *targets*, where it needs one."""
    opening = method.get_setup_call(targets)
    return (
        0
        if opening is None
        else _request_bytes(opening.build_request(cost_input.body, targets, cost_input.credentials))
    )


def _extrapolate_size(size_of: Callable[[list[str]], int], sample_ids: Sequence[str], id_count: float) -> float:
    """The size with *many* ids, along the line through the sizes with one and with as many as there are samples."""
    most = min(int(id_count), len(sample_ids))
    whole = size_of(list(sample_ids[:most]))
    if most < 2 or id_count == most:
        return float(whole)
    return whole + (whole - size_of(list(sample_ids[:1]))) / (most - 1) * (id_count - most)


def _build_targets(cost_input: CostInput, method: SendMethod, ids: list[str]) -> tuple[Payload, ...]:
    return tuple(map(cost_input.vendor.target_ids, split_into_chunks(ids[: method.max_ids], cost_input.vendor.max_ids)))


def _request_bytes(request: Request) -> int:
    query = sum(len(name) + len(value) + 2 for name, value in request.query.items())
    return len(request.content) + len(request.path) + query

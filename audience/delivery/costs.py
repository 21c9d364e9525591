"""Cost estimates: calls, bytes and seconds of each send method for a plan, and the choice of the cheapest."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from audience.delivery.transport.rate_limit import call_interval
from audience.errors import DeliveryError, Problem
from audience.index.storage.id_arrays import iter_slices
from audience.language.suggest import did_you_mean
from audience.vendors.delivery_spec import Credentials, DeliverySpec, RateLimit, Request, SendCall, SendMethod
from audience.vendors.spec import Payload, Vendor

MAX_SAMPLE_IDS = 1_000  # enough to extrapolate the size of a call with more ids
PLACEHOLDER_IDEMPOTENCY_KEY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostInput:
    """Plan, message and application whose costs are estimated.

    Attributes:
        bodies: Bodies of the message, one for each text; sizes are those of the first.
        part_sizes: Number of ids in each part of the plan; no call has ids of two.
        sample_ids: Some of the ids.
    """

    vendor: Vendor
    delivery: DeliverySpec
    bodies: tuple[Payload, ...]
    credentials: Credentials
    native_payloads: tuple[Payload, ...]
    part_sizes: tuple[int, ...]
    sample_ids: tuple[str, ...]

    @property
    def id_count(self) -> int:
        """Return the number of all ids."""
        return sum(self.part_sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """Estimated cost of one send method.

    Attributes:
        method: Name of the method.
        calls: All HTTP calls, setup calls included.
        setup_calls: How many of *calls* are setup calls, which deliver nothing.
        request_bytes: Bytes of all requests, extrapolated from one or two of them.
        seconds: Duration at the vendor's rate limits.
        worthwhile: Whether there are as many ids as the method is meant for.
        problems: Why the method cannot be used, if so.
    """

    method: str
    calls: int
    setup_calls: int
    request_bytes: int
    seconds: float
    worthwhile: bool = True
    problems: tuple[Problem, ...] = ()


def estimate_methods(cost_input: CostInput) -> list[CostEstimate]:
    """Return the estimates of all methods that send ids: the cheapest first, unusable ones last."""
    if not cost_input.id_count:
        return []
    estimates = [_estimate_method(cost_input, method) for method in cost_input.delivery.send_methods]
    return sorted(
        estimates, key=lambda estimate: (bool(estimate.problems), not estimate.worthwhile, *_cost_key(estimate))
    )


def estimate_native(cost_input: CostInput) -> CostEstimate:
    """Return the estimate of the native requests."""
    method = cost_input.delivery.native_method
    target_lists = [(payload,) for payload in cost_input.native_payloads]
    problems = [problem for targets in target_lists for problem in _check_bodies(cost_input, method, targets)]
    key_calls = _count_key_calls(method, len(target_lists))
    setup_count = sum(method.get_setup_call(targets) is not None for targets in target_lists) + key_calls
    request_bytes = 0
    if not problems:
        request_bytes = key_calls * _key_call_bytes(cost_input, method) + sum(
            _call_bytes(cost_input, method, targets) + _setup_bytes(cost_input, method, targets)
            for targets in target_lists
        )
    limits = [(limit, 1) for targets in target_lists for limit in method.rate_limits(targets)]
    return CostEstimate(
        method=method.name,
        calls=len(target_lists) + setup_count,
        setup_calls=setup_count,
        request_bytes=request_bytes,
        seconds=_estimate_seconds([*limits, *_key_call_limits(method, key_calls)]),
        problems=tuple(dict.fromkeys(problems)),
    )


def choose_method(cost_input: CostInput, name: str | None = None) -> SendMethod:
    """Return the send method *name*, or the cheapest one.

    Raises DeliveryError if there is no such method, or if the message or its targets do not fit the method.
    """
    if cost_input.native_payloads and (native := estimate_native(cost_input)).problems:
        raise DeliveryError(*native.problems)
    if name is not None:
        _require_usable_method(cost_input, name)
    estimates = [estimate for estimate in estimate_methods(cost_input) if name in (None, estimate.method)]
    if not estimates:
        return method_by_name(cost_input.delivery, name or cost_input.delivery.native_method.name)
    if estimates[0].problems:
        raise DeliveryError(*estimates[0].problems)
    return method_by_name(cost_input.delivery, name or estimates[0].method)


def _require_usable_method(cost_input: CostInput, name: str) -> None:
    """Raise DeliveryError if no request of the plan can be sent by the method *name*."""
    native_name = cost_input.delivery.native_method.name
    if cost_input.id_count and name not in [method.name for method in cost_input.delivery.send_methods]:
        raise DeliveryError(_unknown_method_problem(cost_input.delivery, name))
    if not cost_input.id_count and cost_input.native_payloads and name != native_name:
        method_by_name(cost_input.delivery, name)
        message = f"this plan has no id lists to send by {name}: all of its requests are native ({native_name})"
        raise DeliveryError(Problem("no-ids", message, hint="run `audience emit` with --by-ids"))


def method_by_name(delivery: DeliverySpec, name: str) -> SendMethod:
    """Return the method *name*, which may be the one for native requests; raise DeliveryError if there is none."""
    methods = {method.name: method for method in (delivery.native_method, *delivery.send_methods)}
    if name not in methods:
        raise DeliveryError(_unknown_method_problem(delivery, name))
    return methods[name]


def _unknown_method_problem(delivery: DeliverySpec, name: str) -> Problem:
    names = [method.name for method in delivery.send_methods]
    hint = did_you_mean(name, names) or f"use one of {', '.join(names)}"
    return Problem("unknown-method", f"unknown send method {name!r}", hint=hint)


def placeholder_credentials(delivery: DeliverySpec) -> Credentials:
    """Return credentials with placeholder keys, for estimates without an application."""
    keys = {
        **dict.fromkeys(delivery.required_keys, "0"),
        **{name: choices[0] for name, choices in delivery.optional_keys.items()},
    }
    return Credentials(next(iter(delivery.base_urls.values())), keys)


def _estimate_method(cost_input: CostInput, method: SendMethod) -> CostEstimate:
    targets = _build_targets(cost_input, method, list(cost_input.sample_ids))
    calls_of_parts = [-(-size // (method.max_ids or 1)) for size in cost_input.part_sizes]
    calls = sum(calls_of_parts)
    limits = [(limit, calls) for limit in method.rate_limits(targets)]
    setup_calls = 0
    if method.setup_call is not None:
        setup_calls = sum(-(-calls // method.setup_call.max_uses) for calls in calls_of_parts)
        limits += [(limit, setup_calls) for limit in method.setup_call.rate_limits]
    key_calls = _count_key_calls(method, calls)
    request_bytes = 0.0
    if not (problems := tuple(_check_bodies(cost_input, method, targets))):
        request_bytes = _estimate_bytes(cost_input, method, calls, setup_calls)
    return CostEstimate(
        method=method.name,
        calls=calls + setup_calls + key_calls,
        setup_calls=setup_calls + key_calls,
        request_bytes=round(request_bytes + key_calls * _key_call_bytes(cost_input, method)),
        seconds=_estimate_seconds([*limits, *_key_call_limits(method, key_calls)]),
        worthwhile=max(cost_input.part_sizes) >= method.min_ids,
        problems=problems,
    )


def _count_key_calls(method: SendMethod, calls: int) -> int:
    """Return how many calls request the idempotency keys of so many *calls*, if the vendor gives them out."""
    return 0 if method.key_source is None else -(-calls // method.key_source.min_keys)


def _key_call_limits(method: SendMethod, key_calls: int) -> list[tuple[RateLimit, int]]:
    return [] if method.key_source is None else [(limit, key_calls) for limit in method.key_source.rate_limits]


def _key_call_bytes(cost_input: CostInput, method: SendMethod) -> int:
    return 0 if method.key_source is None else _request_bytes(method.key_source.build_request(cost_input.credentials))


def _check_bodies(cost_input: CostInput, method: SendMethod, targets: Sequence[Payload]) -> list[Problem]:
    """Return why a body, or the targets, do not fit *method*."""
    problems = (method.check(body, targets, cost_input.credentials) for body in cost_input.bodies)
    return [*dict.fromkeys(chain.from_iterable(problems))]


def _cost_key(estimate: CostEstimate) -> tuple[float, int, int]:
    return estimate.seconds, estimate.calls, estimate.request_bytes


def _estimate_seconds(calls_by_limit: Sequence[tuple[RateLimit, int]]) -> float:
    """Return how long the calls take under their rate limits; the first one starts at once."""
    call_counts: Counter[str] = Counter()
    intervals: dict[str, float] = {}
    for limit, calls in calls_by_limit:
        call_counts[limit.name] += calls
        intervals[limit.name] = max(intervals.get(limit.name, 0.0), call_interval(limit))
    return max((intervals[name] * max(0, calls - 1) for name, calls in call_counts.items()), default=0.0)


def _estimate_bytes(cost_input: CostInput, method: SendMethod, calls: int, setup_calls: int) -> float:
    ids_per_call = cost_input.id_count / calls

    def extrapolate(size_of: Callable[[CostInput, SendMethod, Sequence[Payload]], int]) -> float:
        def size_with(ids: list[str]) -> int:
            return size_of(cost_input, method, _build_targets(cost_input, method, ids))

        return _extrapolate_size(size_with, cost_input.sample_ids, ids_per_call)

    call_bytes = calls * extrapolate(_call_bytes)
    return call_bytes + setup_calls * extrapolate(_setup_bytes) if setup_calls else call_bytes


def _call_bytes(cost_input: CostInput, method: SendMethod, targets: Sequence[Payload]) -> int:
    handle = None if method.get_setup_call(targets) is None else "0"
    call = SendCall(
        targets=tuple(targets), body=cost_input.bodies[0], handle=handle, idempotency_key=PLACEHOLDER_IDEMPOTENCY_KEY
    )
    return _request_bytes(method.build_request(call, cost_input.credentials))


def _setup_bytes(cost_input: CostInput, method: SendMethod, targets: Sequence[Payload]) -> int:
    """Return the bytes of the setup call for *targets*, or 0 if they need none."""
    setup_call = method.get_setup_call(targets)
    if setup_call is None:
        return 0
    return _request_bytes(setup_call.build_request(cost_input.bodies[0], targets, cost_input.credentials))


def _extrapolate_size(size_of: Callable[[list[str]], int], sample_ids: Sequence[str], id_count: float) -> float:
    """Return the size with *id_count* ids, on the line through the sizes with one and with all sample ids."""
    sample_count = min(int(id_count), len(sample_ids))
    sample_size = size_of(list(sample_ids[:sample_count]))
    if sample_count < 2 or id_count == sample_count:
        return float(sample_size)
    bytes_per_id = (sample_size - size_of(list(sample_ids[:1]))) / (sample_count - 1)
    return sample_size + bytes_per_id * (id_count - sample_count)


def _build_targets(cost_input: CostInput, method: SendMethod, ids: list[str]) -> tuple[Payload, ...]:
    chunks = iter_slices(ids[: method.max_ids], cost_input.vendor.max_ids)
    return tuple(map(cost_input.vendor.target_ids, chunks))


def _request_bytes(request: Request) -> int:
    query = sum(len(name) + len(value) + 2 for name, value in request.query.items())
    return len(request.content) + len(request.path) + query

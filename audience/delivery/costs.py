"""What each way of a vendor costs for a plan: calls, bytes, seconds under its paces; the cheapest is taken."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from audience.delivery.transport.rate_limit import spacing
from audience.errors import DeliveryError, Problem
from audience.language.suggest import did_you_mean
from audience.requests.reader import chunks
from audience.vendors.delivery_spec import Application, Call, Delivery, Pace, Request, Way
from audience.vendors.spec import Payload, Vendor

SAMPLE = 1_000  # ids that are enough to tell how long a call with more of them is
TOKEN = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be told: *native* requests, and *ids* ids, of which *sample* are some."""

    to: Vendor
    delivery: Delivery
    body: Payload
    application: Application
    native: tuple[Payload, ...]
    ids: int
    sample: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What *way* costs: *openings* of the *calls* tell nobody; *bytes* are reckoned from one or two calls.

    *worth* is whether there are as many ids as it is thought of for, *refused* why the message cannot go that way.
    """

    way: str
    calls: int
    openings: int
    bytes: int
    seconds: float
    worth: bool = True
    refused: tuple[Problem, ...] = ()


def prices(order: Order) -> list[Price]:
    """The price of each way to tell the ids, the cheapest first; those that cannot be taken come last."""
    if not order.ids:
        return []
    found = [_price(order, way) for way in order.delivery.ways]
    return sorted(found, key=lambda price: (bool(price.refused), not price.worth, *_cost(price)))


def native_price(order: Order) -> Price:
    """The price of the native requests."""
    way = order.delivery.native
    refused = [problem for each in order.native for problem in way.refuses(order.body, (each,), order.application)]
    opened = [each for each in order.native if way.opening_for((each,)) is not None]
    size = 0 if refused else sum(_telling(order, way, (each,)) + _opening(order, way, (each,)) for each in order.native)
    return Price(
        way=way.name,
        calls=len(order.native) + len(opened),
        openings=len(opened),
        bytes=size,
        seconds=_seconds([(pace, 1) for each in order.native for pace in way.paces((each,))]),
        refused=tuple(dict.fromkeys(refused)),
    )


def chosen(order: Order, name: str | None = None) -> Way:
    """The way called *name*, or else the cheapest.

    Raises DeliveryError where there is none of that name, or where the message cannot go to its targets.
    """
    if order.native and (native := native_price(order)).refused:
        raise DeliveryError(*native.refused)
    if name is not None:
        _check_name(order, name)
    found = [price for price in prices(order) if name in (None, price.way)]
    if order.ids and found and found[0].refused:
        raise DeliveryError(*found[0].refused)
    return named(order.delivery, name or (found[0].way if found else order.delivery.native.name))


def _check_name(order: Order, name: str) -> None:
    """Raise DeliveryError where nothing of *order* goes by the way called *name*."""
    native = order.delivery.native.name
    if order.ids and name not in [way.name for way in order.delivery.ways]:
        raise DeliveryError(_unknown(order.delivery, name))
    if not order.ids and order.native and name != native:
        named(order.delivery, name)
        message = f"nothing of this plan goes by ids, and so nothing by {name}: all of it goes by {native}"
        raise DeliveryError(Problem("no-ids", message, hint="emit it with --by-ids"))


def named(delivery: Delivery, name: str) -> Way:
    """The way called *name*; DeliveryError where there is none.

    Where nothing goes by ids, the one of native requests stands for it.
    """
    ways = {way.name: way for way in (delivery.native, *delivery.ways)}
    if name not in ways:
        raise DeliveryError(_unknown(delivery, name))
    return ways[name]


def _unknown(delivery: Delivery, name: str) -> Problem:
    names = [way.name for way in delivery.ways]
    hint = did_you_mean(name, names) or f"one of {', '.join(names)}"
    return Problem("unknown-way", f"no way to tell ids is called {name!r}", hint=hint)


def placeholder(delivery: Delivery) -> Application:
    """An application whose keys say nothing, for prices that nobody's keys are needed for."""
    keys = {**dict.fromkeys(delivery.keys, "0"), **{name: values[0] for name, values in delivery.choices.items()}}
    return Application(next(iter(delivery.hosts.values())), keys)


def _price(order: Order, way: Way) -> Price:
    opening, targets = way.opening, _targets(order, way, list(order.sample))
    most = way.ids or 1
    calls = -(-order.ids // most)
    openings = 0 if opening is None else -(-calls // opening.calls)
    paces = [(pace, calls) for pace in way.paces(targets)]
    paces += [(pace, openings) for pace in (opening.paces if opening is not None else ())]
    refused = tuple(way.refuses(order.body, targets, order.application))
    return Price(
        way=way.name,
        calls=calls + openings,
        openings=openings,
        bytes=0 if refused else round(_bytes(order, way, order.ids / calls, calls, openings)),
        seconds=_seconds(paces),
        worth=order.ids >= way.worth,
        refused=refused,
    )


def _cost(price: Price) -> tuple[float, int, int]:
    return price.seconds, price.calls, price.bytes


def _seconds(paces: Sequence[tuple[Pace, int]]) -> float:
    """How long so many calls take under their *paces*; the first one may leave at once."""
    taken: Counter[str] = Counter()
    widest: dict[str, float] = {}
    for pace, calls in paces:
        taken[pace.name] += calls
        widest[pace.name] = max(widest.get(pace.name, 0.0), spacing(pace))
    return max((widest[name] * max(0, calls - 1) for name, calls in taken.items()), default=0.0)


def _bytes(order: Order, way: Way, each: float, calls: int, openings: int) -> float:
    """The bytes of *calls* with *each* ids on average, and of their *openings*."""
    told = calls * _along(lambda ids: _telling(order, way, _targets(order, way, ids)), order.sample, each)
    if not openings:
        return told
    return told + openings * _along(lambda ids: _opening(order, way, _targets(order, way, ids)), order.sample, each)


def _telling(order: Order, way: Way, targets: Sequence[Payload]) -> int:
    """The bytes of a call to *targets*."""
    handle = None if way.opening_for(targets) is None else "0"
    call = Call(targets=tuple(targets), body=order.body, handle=handle, token=TOKEN)
    return _size(way.request(call, order.application))


def _opening(order: Order, way: Way, targets: Sequence[Payload]) -> int:
    """The bytes of the opening of a call to *targets*, where it needs one."""
    opening = way.opening_for(targets)
    return 0 if opening is None else _size(opening.request(order.body, targets, order.application))


def _along(size: Callable[[list[str]], int], sample: Sequence[str], many: float) -> float:
    """The size with *many* ids, along the line through the sizes with one and with as many as there are samples."""
    most = min(int(many), len(sample))
    whole = size(list(sample[:most]))
    if most < 2 or many == most:
        return float(whole)
    return whole + (whole - size(list(sample[:1]))) / (most - 1) * (many - most)


def _targets(order: Order, way: Way, ids: list[str]) -> tuple[Payload, ...]:
    return tuple(map(order.to.listing, chunks(ids[: way.ids], order.to.batch)))


def _size(request: Request) -> int:
    query = sum(len(name) + len(value) + 2 for name, value in request.query.items())
    return len(request.content) + len(request.path) + query

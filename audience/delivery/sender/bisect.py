"""A call was refused because of ids that the vendor does not know: which are dropped, and how the rest is sent anew."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bisection:
    """The *bad* ids with their places, and the *parts* to be sent anew, from a place to before another."""

    invalid_ids: tuple[tuple[int, str], ...]
    parts: tuple[tuple[int, int], ...]


def bisect_batch(ids_by_position: Mapping[int, str], reported_ids: Iterable[str]) -> Bisection:
    """What to do with the *ids*, by their places, of a refused call whose reply *named* those that are bad, or none.

    Named ones are dropped, and the rest is one part; else one half holds a bad one, and both are sent anew, until a
    lone id is left, which is bad.

    >>> bisect_batch({4: "r4", 5: "x", 6: "r6"}, ["x"])
    Bisection(invalid_ids=((5, 'x'),), parts=((4, 7),))
    >>> bisect_batch({4: "r4", 5: "x", 6: "r6"}, [])
    Bisection(invalid_ids=(), parts=((4, 5), (5, 7)))
    >>> bisect_batch({5: "x"}, ["y"])
    Bisection(invalid_ids=((5, 'x'),), parts=())
    """
    places = sorted(ids_by_position)
    known = set(reported_ids)
    bad = tuple((at, ids_by_position[at]) for at in places if ids_by_position[at] in known)
    if len(places) == 1:
        return Bisection(tuple(ids_by_position.items()), ())
    if bad:
        rest = len(places) > len(bad)
        return Bisection(bad, ((places[0], places[-1] + 1),) if rest else ())
    middle = places[len(places) // 2]
    return Bisection((), ((places[0], middle), (middle, places[-1] + 1)))

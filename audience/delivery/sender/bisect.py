"""A call was refused because of ids that the vendor does not know: which are dropped, and how the rest is sent anew."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Split:
    """The *bad* ids with their places, and the *parts* to be sent anew, from a place to before another."""

    bad: tuple[tuple[int, str], ...]
    parts: tuple[tuple[int, int], ...]


def split(ids: Mapping[int, str], named: Iterable[str]) -> Split:
    """What to do with the *ids*, by their places, of a refused call whose reply *named* those that are bad, or none.

    Named ones are dropped, and the rest is one part; else one half holds a bad one, and both are sent anew, until a
    lone id is left, which is bad.

    >>> split({4: "r4", 5: "x", 6: "r6"}, ["x"])
    Split(bad=((5, 'x'),), parts=((4, 7),))
    >>> split({4: "r4", 5: "x", 6: "r6"}, [])
    Split(bad=(), parts=((4, 5), (5, 7)))
    >>> split({5: "x"}, ["y"])
    Split(bad=((5, 'x'),), parts=())
    """
    places = sorted(ids)
    known = set(named)
    bad = tuple((at, ids[at]) for at in places if ids[at] in known)
    if len(places) == 1:
        return Split(tuple(ids.items()), ())
    if bad:
        rest = len(places) > len(bad)
        return Split(bad, ((places[0], places[-1] + 1),) if rest else ())
    middle = places[len(places) // 2]
    return Split((), ((places[0], middle), (middle, places[-1] + 1)))

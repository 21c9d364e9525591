"""Tags that earlier syncs have set, and of which the catalog and the index say no more that the vendor has them.

A sync changes the tags that it is about. When an attribute leaves the catalog, or the index, no sync is about it any
more, and its tags stay at the devices as they are.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from audience.index.storage.bitmaps import BitMap
from audience.language.ast import Tag
from audience.language.attribute_names import UNTYPED
from audience.tag_sync.state import TagState
from audience.tag_sync.tags import NamedScope, Scope, join_scopes

REMOVED = "removed"  # in place of a digest of names, which no catalog has: a plan never takes the tags for there


@dataclass(frozen=True, slots=True, kw_only=True)
class ObsoleteTags:
    """Tags of one attribute, or one bare tag, that no sync is about any more.

    Attributes:
        name: Name of the attribute or of the bare tag, as in `TagNames.attributes`.
        named: All tags of the attribute, with a naming that no catalog has.
        tags: Number of tags of the attribute that devices may have.
        devices: Number of ids that may have at least one of these tags.
    """

    name: str
    named: NamedScope
    tags: int
    devices: int


def find_obsolete(state: TagState, is_current: Callable[[Tag], bool]) -> tuple[ObsoleteTags, ...]:
    """Return the obsolete tags of an application, in the order of their names.

    Args:
        state: State of the application, before a sync starts.
        is_current: Returns whether the catalog and the index still say that the vendor has a tag.
    """
    rows = zip(state.known.tags, state.known.rows, state.doubtful, strict=True)
    present = {tag.tag: has | doubts for tag, has, doubts in rows if has or doubts}
    left = {tag: ids for tag, ids in present.items() if not is_current(tag)}
    scopes = _list_scopes(state, left, present.keys() - left.keys())
    return tuple(
        ObsoleteTags(
            name=name,
            named=NamedScope(scope, REMOVED),
            tags=sum(tag in scope for tag in left),
            devices=len(BitMap.union(BitMap(), *(ids for tag, ids in left.items() if tag in scope))),
        )
        for name, scope in sorted(scopes.items())
    )


def list_removals(
    state: TagState, obsolete: Iterable[ObsoleteTags], is_current: Callable[[Tag], bool]
) -> dict[str, NamedScope]:
    """Return what a sync is also about that removes *obsolete* tags, and goes on with a removal that has not ended."""
    started = {} if state.started is None else state.started.attributes
    unended = {
        name: named
        for name, named in started.items()
        if named.naming == REMOVED and not any(map(is_current, _sample(named.scope)))
    }
    return unended | {each.name: each.named for each in obsolete}


def _sample(scope: Scope) -> list[Tag]:
    """Return the single tags of *scope*, and one of each attribute."""
    return [*scope.tags, *(Tag(type_, "") for type_ in scope.types)]


def _list_scopes(state: TagState, left: Iterable[Tag], kept: Iterable[Tag]) -> dict[str, Scope]:
    """Return the scopes of earlier syncs with tags *left* and none *kept*, and one for each other tag *left*."""
    named = {name: sync.named.scope for name, sync in state.attributes.items()}
    named |= {} if state.started is None else {name: each.scope for name, each in state.started.attributes.items()}
    scopes = {
        name: scope
        for name, scope in named.items()
        if any(tag in scope for tag in left) and not any(tag in scope for tag in kept)
    }
    for tag in left:
        if tag not in join_scopes(scopes.values()):
            scopes |= _scope_of(tag)
    return scopes


def _scope_of(tag: Tag) -> dict[str, Scope]:
    """Return the scope of a sync of *tag*, by its name.

    >>> _scope_of(Tag("province", "hunan"))
    {'province': Scope(types=frozenset({'province'}), tags=frozenset())}
    """
    if tag.type == UNTYPED:
        return {f"{UNTYPED}:{tag.value}": Scope(tags=frozenset({tag}))}
    return {tag.type: Scope(types=frozenset({tag.type}))}

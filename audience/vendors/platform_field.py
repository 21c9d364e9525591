"""Fields that narrow a whole request to the devices on some platforms."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from audience.algebra.request_shape import NO_LIMIT
from audience.errors import Problem
from audience.language.ast import Expr, Tag, all_of, and_terms, atoms, or_terms
from audience.language.platforms import PLATFORM_TYPE
from audience.language.printer import render
from audience.vendors.delivery_spec import Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformField:
    """Field of a vendor's requests that names platforms.

    It narrows everything that the request says beside it, ids too. A device is on one platform.

    Attributes:
        names: The vendor's word for each platform that the field can name, by the platform's name in expressions.
        write: Returns a targeting object narrowed to platforms, given as the vendor's words. None if platforms are
            conditions beside others, which `Vendor.emit` writes.
        max_named: Largest number of platforms that one request can name.
        undocumented: Platforms whose word no page documents.
        all_platforms: Platforms that a page documents as all there are at the vendor; empty if no page does.
    """

    names: Mapping[str, str]
    write: Callable[[Payload, list[str]], Payload] | None = None
    max_named: int = NO_LIMIT
    undocumented: tuple[str, ...] = ()
    all_platforms: tuple[str, ...] = ()

    def tag_problems(self, tag: Tag, title: str) -> Iterator[Problem]:
        """Find why the field cannot name the platform of *tag*."""
        if tag.value not in self.names:
            message = f"{title} has no platform {tag.value!r}"
            yield Problem("no-name", message, tag.span, hint=f"it has {', '.join(self.names)}")

    def assumptions(self, expr: Expr, title: str) -> Iterator[Problem]:
        """Find what a request that names the platforms of *expr* takes for granted."""
        names = sorted(tag.value for tag in platform_tags(expr))
        if names:
            yield Problem("platform", f"the platform of a device is the one that {title} knows")
        for name in names:
            if name in self.undocumented:
                yield Problem("platform-word", f"{title} calls {name} {self.names[name]!r}, which no page documents")


class PlatformTerms(NamedTuple):
    """Terms of an intersection that only name platforms, and the others."""

    platforms: tuple[Expr, ...]
    rest: Expr


def is_platform_tag(expr: Expr) -> bool:
    """Return whether *expr* is a tag of a platform."""
    return isinstance(expr, Tag) and expr.type == PLATFORM_TYPE


def split_platform_terms(expr: Expr) -> PlatformTerms:
    """Split an intersection into the terms that only name platforms, and the others; everyone if there are none.

    >>> from audience.language.parser import parse
    >>> terms = split_platform_terms(parse("(platform:ios OR platform:android) AND (vip OR platform:ios)"))
    >>> [render(term) for term in terms.platforms], render(terms.rest)
    (['platform:ios OR platform:android'], 'vip OR platform:ios')
    """
    terms = and_terms(expr)
    platforms = tuple(term for term in terms if all(map(is_platform_tag, or_terms(term))))
    return PlatformTerms(platforms, all_of(term for term in terms if term not in platforms))


def platform_tags(expr: Expr) -> list[Tag]:
    """Return the tags of platforms in *expr*, each once, in reading order."""
    return [atom for atom in atoms(expr) if isinstance(atom, Tag) and is_platform_tag(atom)]


def common_platforms(terms: Sequence[Expr]) -> list[str]:
    """Return the platforms that every one of *terms* names."""
    named = [[tag.value for tag in platform_tags(term)] for term in terms]
    return [value for value in named[0] if all(value in names for names in named)]


def platform_problems(terms: PlatformTerms, field: PlatformField, title: str) -> Iterator[Problem]:
    """Find why *field* cannot narrow a request to the platforms of *terms*."""
    tags, inside = ([tag for term in exprs for tag in platform_tags(term)] for exprs in (terms.platforms, [terms.rest]))
    for tag in (*tags, *inside):
        yield from field.tag_problems(tag, title)
    for tag in inside:
        message = f"{render(tag)!r} inside OR or NOT: a platform narrows a whole request to {title}"
        yield Problem("platform-inside", message, tag.span)
    if not terms.platforms:
        return
    common = common_platforms(terms.platforms)
    if not common:
        message = f"{' and '.join(map(render, terms.platforms))}: a device is on one platform"
        yield Problem("disjoint-platforms", message, tags[-1].span)
    elif all(len(platform_tags(term)) > len(common) for term in terms.platforms):
        message = f"{' and '.join(map(render, terms.platforms))}: a request to {title} names one list of platforms"
        yield Problem("platform-inside", message, tags[-1].span, hint=f"name {', '.join(common)} only")
    if len(common) > field.max_named:
        message = f"a request to {title} can name {field.max_named} platform, found {', '.join(common)}"
        yield Problem("several-platforms", message, tags[-1].span)


def write_list_field(*path: str) -> Callable[[Payload, list[str]], Payload]:
    """Return a function that writes platforms as the list at *path*.

    >>> write_list_field("body", "platform")({"to": "all"}, ["ios"])
    {'to': 'all', 'body': {'platform': ['ios']}}
    """
    return lambda payload, words: _set_at_path(payload, path, words)


def write_single_field(*path: str) -> Callable[[Payload, list[str]], Payload]:
    """Return a function that writes one platform as the string at *path*.

    >>> write_single_field("Target", "Platform")({"Target": {"Type": "ALL"}}, ["IOS"])
    {'Target': {'Type': 'ALL', 'Platform': 'IOS'}}
    """
    return lambda payload, words: _set_at_path(payload, path, words[0])


def _set_at_path(payload: Payload, path: Sequence[str], value: Any) -> Payload:
    key, *below = path
    return {**payload, key: _set_at_path(payload.get(key, {}), below, value) if below else value}

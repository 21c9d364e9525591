"""Render an expression as canonical text."""

import re

from audience.errors import ExpressionError
from audience.language.ast import (
    ID_KINDS,
    Aggregate,
    And,
    Anniversary,
    Between,
    Compare,
    Did,
    EventFilter,
    EventMoment,
    Everyone,
    Except,
    Expr,
    Has,
    Ids,
    Limit,
    Matches,
    Nobody,
    Not,
    Or,
    Reference,
    Relative,
    Sample,
    Segment,
    Split,
    Tag,
    Threshold,
    Top,
    Within,
)
from audience.language.attribute_names import TPNS_TYPES, UNTYPED
from audience.language.event_atoms import EVENT_FUNCTIONS
from audience.language.validation import type_error
from audience.language.windows import Comparison, Interval, Period, TimePoint, Window, format_duration

COMPOUND_TYPES = (And, Or, Except, Limit, Top)  # their text needs brackets inside another expression
RELATIVE_WORDS = re.compile(r"today|yesterday|tomorrow|now|(?:today|now)[+-][0-9]+[a-z]*", re.I)
FUNCTION_WORDS = re.compile(
    rf"tag|tag_and|tag_not|has|reference|sample|split|anniversary|{'|'.join(EVENT_FUNCTIONS)}", re.I
)
DAY_ORDER_WORDS = {"<": "before", ">": "after", "=": "on"}
RESERVED_NAME = r"(?:and|or|not|in|within|everyone|nobody)|xg_(?:user_define|auto_\w+)\..*|@.*"
ASCII_NAME = re.compile(r"[A-Za-z0-9_.@+/%-]+")
ASCII_RESERVED_NAME = re.compile(RESERVED_NAME, re.I | re.S | re.A)


def render(expr: Expr) -> str:
    """Return the canonical text of *expr*, so that `parse(render(expr)) == expr`.

    Raises:
        ExpressionError: A node is of a class that the language does not have.

    >>> from audience.language.parser import parse
    >>> render(parse("!(a || b) && province in (guangdong)"))
    'NOT (a OR b) AND province:guangdong'
    """
    match expr:
        case Everyone():
            return "everyone"
        case Nobody():
            return "nobody"
        case Tag(type=type_, value=value):
            return quote_name(value) if type_ == UNTYPED else f"{_quote_type(type_)}:{quote_name(value)}"
        case Ids():
            return f"{_quote_id_kind(expr.kind)}({', '.join(_render_id_entries(expr))})"
        case Compare(type=type_, operator=operator, value=value):
            return f"{_quote_type(type_)} {operator} {quote_value(value)}"
        case Within(type=type_, days=days, day=day):
            return f"{_quote_type(type_)} within {days} {'day' if days == 1 else 'days'} of {quote_value(day)}"
        case Between():
            return _render_range(expr)
        case Matches(type=type_, pattern=pattern, ignores_case=ignores_case):
            quoted = pattern.replace('"', '\\"')
            return f'{_quote_type(type_)} matches "{quoted}"{" ignoring case" if ignores_case else ""}'
        case Relative(type=type_, window=window):
            return f"{_quote_type(type_)} {_render_window(window)}"
        case Anniversary(type=type_, window=window):
            return f"anniversary({_quote_type(type_)}) {_render_window(window)}"
        case Has(type=type_):
            return f"has({_quote_type(type_)})"
        case Reference(vendor=vendor, kind=kind, value=value):
            return f"reference({quote_name(vendor)}, {quote_name(kind)}, {quote_name(value)})"
        case Segment(name=name):
            return f"@{quote_name(name)}"
        case Sample(percent=percent, seed=seed):
            return f"sample({percent}%, {_quote_seed(seed)})"
        case Split(variants=variants, seed=seed, variant=variant):
            pairs = ", ".join(f"{quote_name(name)}:{percent}%" for name, percent in variants)
            return f"split({pairs}, {_quote_seed(seed)}){'' if variant is None else f' = {quote_name(variant)}'}"
        case Did():
            return (
                f"did({_render_events(expr.events.name, expr.events)}){_render_times(expr)}{_render_when(expr.events)}"
            )
        case Aggregate(function=function, events=events, operator=operator, value=value):
            called = f"{function}({_render_events(f'{events.name}.{expr.property}', events)})"
            return f"{called} {operator} {quote_value(value)}{_render_when(events)}"
        case EventMoment(function=function, events=events, window=window):
            return f"{function}({_render_events(events.name, events)}) {_render_event_window(window)}"
        case Not(term=term):
            return f"NOT {_parenthesize(term)}"
        case And(terms=terms):
            return " AND ".join(map(_parenthesize, terms))
        case Or(terms=terms):
            # AND inside OR would not need brackets, but vendors disagree on precedence and brackets read faster.
            return " OR ".join(map(_parenthesize, terms))
        case Except(term=term, excluded=excluded):
            return f"{_parenthesize(term)} EXCEPT {_parenthesize(excluded)}"
        case Threshold(operator=operator, count=count, terms=terms):
            return f"{operator} {count} of ({', '.join(map(render, terms))})"
        case Limit(term=term, count=count, seed=seed):
            return f"{_parenthesize(term)} limit {count} seed {quote_name(seed)}"
        case Top(term=term, count=count, by=by, order=order):
            return f"{_parenthesize(term)} {order} {count} by {_quote_type(by)}"
    raise unknown_node_error(expr)


def unknown_node_error(node: object) -> ExpressionError:
    """Return the error for a *node* of a class that the language has no syntax for."""
    return type_error("expression", "a node of the language", node)


def quote_name(text: str) -> str:
    """Return *text* as a name of the language, quoted if necessary.

    >>> print(quote_name("guangdong"), quote_name("MI 9 SE"), quote_name("or"), quote_name("城市"))
    guangdong "MI 9 SE" "or" 城市
    """
    if text.isascii():
        is_bare = ASCII_NAME.fullmatch(text) and not ASCII_RESERVED_NAME.fullmatch(text)
    else:
        is_bare = _is_bare_unicode_name(text)
    return text if is_bare else _quote(text)


def _is_bare_unicode_name(text: str) -> bool:
    import regex  # loads slowly, and knows the classes of characters beside ASCII

    is_reserved = regex.fullmatch(RESERVED_NAME, text, regex.I | regex.S)
    return regex.fullmatch(r"[\p{L}\p{M}\p{N}_.@+/%-]+", text) is not None and not is_reserved


def quote_value(text: str) -> str:
    """Return *text* as the value of a comparison, quoted also if it would be a day such as `today`.

    >>> print(quote_value("today"), quote_value("30"))
    "today" 30
    """
    return _quote(text) if RELATIVE_WORDS.fullmatch(text) else quote_name(text)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quote_seed(text: str) -> str:
    """Quote a seed also if it looks like a percentage."""
    return _quote(text) if text.endswith("%") else quote_name(text)


def _quote_type(text: str) -> str:
    """Quote a type also if it is a TPNS name, which the parser would translate."""
    return f'"{text}"' if text in TPNS_TYPES else quote_name(text)


def _quote_id_kind(kind: str) -> str:
    """Quote the name of an id column that is not written like a function."""
    is_taken = FUNCTION_WORDS.fullmatch(kind) or (kind not in ID_KINDS and kind.lower() in ID_KINDS)
    return _quote(kind) if is_taken else quote_name(kind)


def _render_id_entries(ids: Ids) -> list[str]:
    """Return the arguments of a list of ids: those that are in no file, then the files."""
    names = map(quote_name, ids.written_values())
    return [*names, *(f"@{quote_name(file.path)}" for file in ids.files)]


def _render_range(expr: Between) -> str:
    type_, low, high = _quote_type(expr.type), quote_value(expr.low), quote_value(expr.high)
    if expr.low_operator == expr.high_operator == "<=":
        return f"{type_} between {low} and {high}"
    return f"{low} {expr.low_operator} {type_} {expr.high_operator} {high}"


def _render_window(window: Window) -> str:
    match window:
        case Comparison(operator=operator, time=time):
            return f"{operator} {_render_time(time)}"
        case Interval(first=first, last=last):
            return f"between {_render_time(first)} and {_render_time(last)}"
        case Period(amount=amount, unit=unit, direction=direction, of=of):
            anchor = "" if of is None else f" of {_render_time(of)}"
            return f"within {'next ' if direction == 'next' else ''}{format_duration(amount, unit)}{anchor}"


def _render_events(name: str, events: EventFilter) -> str:
    """Return the argument of a call about *events*."""
    return quote_name(name) if events.where is None else f"{quote_name(name)} where {render(events.where)}"


def _render_times(did: Did) -> str:
    match did.least, did.most:
        case 1, None:
            return ""
        case least, None:
            return f" >= {least}"
        case least, most if least == most:
            return f" = {least}"
        case 0, most:
            return f" <= {most}"
    return f" between {did.least} and {did.most}"


def _render_when(events: EventFilter) -> str:
    return "" if events.window is None else f" {_render_event_window(events.window)}"


def _render_event_window(window: Window) -> str:
    """Return the window of events, in words that are not read as how often."""
    match window:
        case Comparison(operator=operator, time=time):
            return f"{DAY_ORDER_WORDS.get(operator, operator)} {_render_time(time)}"
        case Interval(first=first, last=last):
            return f"from {_render_time(first)} to {_render_time(last)}"
        case Period():
            return _render_window(window)


def _render_time(time: TimePoint) -> str:
    return quote_value(time) if isinstance(time, str) else str(time)


def _parenthesize(term: Expr) -> str:
    return f"({render(term)})" if isinstance(term, COMPOUND_TYPES) else render(term)

"""Describe an expression: as an indented tree for people, as JSON for programs."""

from dataclasses import fields
from typing import Any

from audience.language.ast import (
    ID_KINDS,
    Aggregate,
    And,
    Condition,
    Did,
    EventFilter,
    EventMoment,
    Everyone,
    Except,
    Expr,
    Has,
    Ids,
    Limit,
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
    operands,
)
from audience.language.id_files import describe_id_file, id_files_json
from audience.language.printer import quote_name, render, unknown_node_error
from audience.language.windows import Comparison, Interval, Period, Window


def format_tree(expr: Expr, depth: int = 0) -> list[str]:
    r"""Return the tree of *expr*, one node per line, two spaces of indentation per level.

    >>> from audience.language.parser import parse
    >>> print("\n".join(format_tree(parse("a AND NOT (b OR c)"))))
    AND
      a
      NOT
        OR
          b
          c
    """
    lines = ["  " * depth + node_label(expr)]
    if not (isinstance(expr, Not) and not operands(expr.term)):
        for term in operands(expr):
            lines += format_tree(term, depth + 1)
    return lines


def node_label(expr: Expr) -> str:
    """Return the label of a single node, without its children."""
    match expr:
        case And():
            return "AND"
        case Or():
            return "OR"
        case Except():
            return "EXCEPT"
        case Threshold(operator=operator, count=count):
            return f"{operator} {count} of"
        case Limit(count=count, seed=seed):
            return f"limit {count} seed {quote_name(seed)}"
        case Top(count=count, by=by, order=order):
            return f"{order} {count} by {quote_name(by)}"
        case Not(term=term) if operands(term):
            return "NOT"
        case Ids(files=files) if files:
            return f"{render(expr)} [{'; '.join(map(describe_id_file, files))}]"
    return render(expr)


def expr_json(expr: Expr) -> Any:
    """Return *expr* as lists, dictionaries and strings that JSON can hold.

    >>> from audience.language.parser import parse
    >>> expr_json(parse("city:杭州 AND NOT alias(u1)"))
    {'and': [{'tag': {'type': 'city', 'value': '杭州'}}, {'not': {'alias': ['u1']}}]}
    """
    match expr:
        case Everyone():
            return "everyone"
        case Nobody():
            return "nobody"
        case Tag(type=type_, value=value):
            return {"tag": {"type": type_, "value": value}}
        case Ids(kind=kind, values=values, files=()) if kind in ID_KINDS:
            return {kind: list(values)}
        case Ids():
            return {"ids": _ids_json(expr)}
        case _ if isinstance(expr, Condition):
            return {type(expr).__name__.lower(): _condition_json(expr)}
        case Relative(type=type_, window=window):
            return {"relative": {"type": type_, **_window_json(window)}}
        case Has(type=type_):
            return {"has": type_}
        case Reference(vendor=vendor, kind=kind, value=value):
            return {"reference": {"vendor": vendor, "kind": kind, "value": value}}
        case Segment(name=name):
            return {"segment": name}
        case Sample(percent=percent, seed=seed):
            return {"sample": {"percent": percent, "seed": seed}}
        case Split(variants=variants, seed=seed, variant=variant):
            pairs = [{"name": name, "percent": percent} for name, percent in variants]
            return {"split": {"variants": pairs, "seed": seed, "variant": variant}}
        case Did(events=events, least=least, most=most):
            return {"did": {**_events_json(events), "least": least, "most": most}}
        case Aggregate(function=function, events=events, operator=operator, value=value):
            compared = {"property": expr.property, "operator": operator, "value": value}
            return {"aggregate": {"function": function, **_events_json(events), **compared}}
        case EventMoment(function=function, events=events, window=window):
            return {"event_moment": {"function": function, **_events_json(events), "window": _window_json(window)}}
        case Not(term=term):
            return {"not": expr_json(term)}
        case And(terms=terms):
            return {"and": list(map(expr_json, terms))}
        case Or(terms=terms):
            return {"or": list(map(expr_json, terms))}
        case Except(term=term, excluded=excluded):
            return {"except": [expr_json(term), expr_json(excluded)]}
        case Threshold(operator=operator, count=count, terms=terms):
            return {operator.replace(" ", "_"): {"count": count, "of": list(map(expr_json, terms))}}
        case Limit(term=term, count=count, seed=seed):
            return {"limit": {"of": expr_json(term), "count": count, "seed": seed}}
        case Top(term=term, count=count, by=by, order=order):
            return {order: {"of": expr_json(term), "count": count, "by": by}}
    raise unknown_node_error(expr)


def _condition_json(condition: Condition) -> dict[str, Any]:
    """Return the fields of a condition that are compared, which leaves out its place in the text."""
    values = {each.name: getattr(condition, each.name) for each in fields(condition) if each.compare}
    window = values.pop("window", None)
    return values if window is None else {**values, **_window_json(window)}


def _ids_json(ids: Ids) -> dict[str, Any]:
    """Return a list of ids of which files are named, not listed."""
    return {"kind": ids.kind, "values": list(ids.written_values()), "files": id_files_json(ids)}


def _events_json(events: EventFilter) -> dict[str, Any]:
    """Return the name of events, the conditions of their properties and their window, without those that are not."""
    where = {} if events.where is None else {"where": expr_json(events.where)}
    window = {} if events.window is None else {"window": _window_json(events.window)}
    return {"event": events.name, **where, **window}


def _window_json(window: Window) -> dict[str, Any]:
    match window:
        case Comparison(operator=operator, time=time):
            return {"operator": operator, "time": str(time)}
        case Interval(first=first, last=last):
            return {"first": str(first), "last": str(last)}
        case Period(amount=amount, unit=unit, direction=direction, of=of):
            anchor = {} if of is None else {"of": str(of)}
            return {"within": {"amount": amount, "unit": unit, "direction": direction, **anchor}}

"""Build the nodes of conditions, which follow an attribute or a call: `between 18 and 25`."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

from audience.language.ast import (
    Anniversary,
    Between,
    Compare,
    CompareOp,
    Expr,
    Has,
    LowOp,
    Matches,
    Not,
    Relative,
    Split,
    Tag,
    Within,
    any_of,
)
from audience.language.call_reader import (
    ANNIVERSARY_EXAMPLE,
    SPLIT_EXAMPLE,
    function_name,
    read_only_attribute,
    read_split,
    split_call,
)
from audience.language.foreign_calls import OTHER_CALLS
from audience.language.grammar import Token, Tree
from audience.language.patterns import escape_pattern
from audience.language.token_reader import TokenReader, ValueNode, fail, locate_errors
from audience.language.windows import Comparison, Interval, Period, TimePoint, Window, WindowOp
from audience.span import Span

DAY_ORDERS: dict[str, WindowOp] = {"before": "<", "after": ">", "on": "="}
MIRRORED_LOW_OPS: dict[str, LowOp] = {">": "<", ">=": "<="}


def read_condition(reader: TokenReader, subject: ValueNode, condition: Tree) -> Expr:
    """Return the node of *condition*, which follows an attribute or a call."""
    if isinstance(subject, Token):
        return _read_attribute_condition(reader, subject, condition)
    word, entries = split_call(subject)
    match function_name(word):
        case "split":
            return _read_variants(reader, word, read_split(reader, subject), condition)
        case "anniversary":
            type_ = read_only_attribute(reader, word, entries, ANNIVERSARY_EXAMPLE)
            return _read_anniversary(reader, type_, word, condition)
    if (hint := OTHER_CALLS.get(word.lower())) is not None:
        fail("unknown-call", f"unknown function {str(word)!r}", reader.span_of(word), hint)
    if (name := function_name(word)) and name != "sample":
        hint = f"leave the comparison out: {name}(…), or NOT {name}(…)"
        fail("bad-sides", f"{str(word)!r} has no variants", reader.span_of(word), hint)
    fail("bad-sides", f"{str(word)!r} has no variants", reader.span_of(word), f"use split: {SPLIT_EXAMPLE} = a")


def _read_attribute_condition(reader: TokenReader, subject: Token, condition: Tree) -> Expr:
    parts, span = condition.children, reader.span_of(subject, *condition.children[-1:])
    if condition.data == "chain":
        return _read_chain(reader, subject, condition)
    type_ = reader.read_type(subject)
    match condition.data:
        case "exists":
            return Has(type_, span=span)
        case "is_null":
            return Not(Has(type_, span=span))
        case "one_of":
            values = cast(Tree, parts[0]).children
            return any_of(_read_equality(reader, type_, node, reader.span_of(node)) for node in values)
        case "matcher":
            return _read_matcher(reader, type_, cast("list[Token]", parts), span)
        case "comparison" if parts[0] == "!=":
            return Not(_read_equality(reader, type_, parts[1], span))
        case "comparison" if parts[0] in ("=", "=="):
            return _read_equality(reader, type_, parts[1], span)
    return _apply_window(type_, read_window(reader, condition, span), span)


def _read_equality(reader: TokenReader, type_: str, node: ValueNode, span: Span) -> Expr:
    """Return the tag, pattern or relative day that a value behind = or inside a list is."""
    if isinstance(node, Token) and node.type == "PATTERN":
        return Matches(type_, reader.read_pattern(node), span=span)
    return _apply_window(type_, Comparison("=", reader.read_value(node)), span)


def _apply_window(type_: str, window: Window, span: Span) -> Expr:
    """Return the atom for days or values of an attribute in *window*: an absolute one if nothing in it is relative."""
    match window:
        case Comparison("=", str(value)):
            return Tag(type_, value, span=span)
        case Comparison(operator, str(value)):
            return Compare(type_, cast(CompareOp, operator), value, span=span)
        case Interval(str(first), str(last)):
            return Between(type_, first, last, span=span)
        case Period(amount, "day", "past", str(day)):
            return Within(type_, amount, day, span=span)
    return Relative(type_, window, span=span)


def read_window(reader: TokenReader, condition: Tree, span: Span) -> Window:
    """Return the window of a condition over days."""
    parts = condition.children
    match condition.data:
        case "comparison":
            operator = "=" if parts[0] == "==" else str(parts[0])
            return Comparison(cast(WindowOp, operator), reader.read_value(parts[1]))
        case "day_order":
            return Comparison(DAY_ORDERS[cast(Token, parts[0]).lower()], reader.read_value(parts[1]))
        case "between" | "from_to":
            first, last = map(reader.read_value, parts)
            return Interval(first, last)
    return _read_period(reader, cast("list[Token]", parts), span)


def _read_period(reader: TokenReader, parts: list[Token], span: Span) -> Period:
    """Read `within next 7 days of DAY`."""
    tokens = {part.type: part for part in parts if isinstance(part, Token) and part.type in ("NEXT", "UNIT")}
    amount_at = 2 if "NEXT" in tokens else 1
    amount, unit = reader.read_duration(parts[amount_at], tokens.get("UNIT"))
    day_at = amount_at + 1 + ("UNIT" in tokens)
    day = reader.read_value(parts[day_at]) if day_at < len(parts) else None
    with locate_errors(span):
        return Period(amount, unit, "next" if "NEXT" in tokens else "past", day)


def _read_chain(reader: TokenReader, low: Token, condition: Tree) -> Expr:
    """Read `18 <= age <= 25`, or the same from the larger to the smaller value."""
    first_op, attribute, second_op, high = cast("list[Token]", condition.children)
    span, type_ = reader.span_of(low, high), reader.read_type(attribute)
    low_value, high_value = reader.read_value(low), reader.read_value(high)
    low_op, high_op = str(first_op), str(second_op)
    if low_op in MIRRORED_LOW_OPS and high_op in MIRRORED_LOW_OPS:
        low_value, high_value = high_value, low_value
        low_op, high_op = MIRRORED_LOW_OPS[high_op], MIRRORED_LOW_OPS[low_op]
    if not {low_op, high_op} <= {"<", "<="}:
        if attribute[:1].isdecimal() and not low[:1].isdecimal():  # age >= 18 <= 25
            hint = f"write {low} between {attribute} and {high}, or {attribute} <= {low} <= {high}"
            fail("unexpected-word", f"unexpected {str(second_op)!r}", reader.span_of(second_op), hint)
        hint = f"write both signs in one direction: {low} <= {attribute} <= {high}"
        fail("unexpected-word", f"unexpected {str(second_op)!r}", reader.span_of(second_op), hint)
    if isinstance(low_value, str) and isinstance(high_value, str):
        return Between(type_, low_value, high_value, cast(LowOp, low_op), cast(LowOp, high_op), span=span)
    return _chain_of_days(type_, low_value, high_value, (low_op, high_op), span)


def _chain_of_days(type_: str, low: TimePoint, high: TimePoint, operators: tuple[str, str], span: Span) -> Expr:
    if operators != ("<=", "<="):
        hint = f"both ends are included: {type_} between {low} and {high}"
        fail("bad-time", "a range of relative days includes both ends", span, hint)
    return Relative(type_, Interval(low, high), span=span)


def _read_matcher(reader: TokenReader, type_: str, parts: list[Token], span: Span) -> Matches:
    """Read `matches "gua*"`, `starts with gua`, `ends with` and `contains`."""
    word, token, *ignoring_case = parts
    matcher = word.lower()
    if matcher == "matches":
        is_pattern = token.startswith('"') or token.type != "NAME"
        pattern = reader.read_pattern(token) if is_pattern else escape_pattern(str(token))
    elif token.type == "PATTERN":
        hint = f'write matches {token}, or quote it if it is the text itself: {matcher} "{token}"'
        fail("misplaced-pattern", f"{matcher!r} takes a text, not a pattern", reader.span_of(token), hint)
    else:
        prefix, suffix = {"starts with": ("", "*"), "ends with": ("*", ""), "contains": ("*", "*")}[matcher]
        pattern = f"{prefix}{escape_pattern(reader.read_name(token))}{suffix}"
    return Matches(type_, pattern, bool(ignoring_case), span=span)


def _read_anniversary(reader: TokenReader, type_: str, word: Token, condition: Tree) -> Expr:
    span = reader.span_of(word, *condition.children[-1:])

    def build(window: Window) -> Anniversary:
        with locate_errors(span):
            return Anniversary(type_, window, span=span)

    match condition.data:
        case "one_of":
            values = cast(Tree, condition.children[0]).children
            return any_of(build(Comparison("=", reader.read_value(node))) for node in values)
        case "comparison" if condition.children[0] == "!=":
            return Not(build(Comparison("=", reader.read_value(condition.children[1]))))
        case "comparison" | "day_order" | "between" | "from_to" | "within":
            return build(read_window(reader, condition, span))
    hint = f"compare it with a day: {ANNIVERSARY_EXAMPLE}"
    fail("unexpected-word", "an anniversary is a month and a day", span, hint)


def _read_variants(reader: TokenReader, word: Token, split: Split, condition: Tree) -> Expr:
    """Return the variants of a split that are selected with = or in."""

    def select(token: ValueNode) -> Split:
        if not isinstance(token, Token):
            fail("unexpected-word", "expected the name of a variant", reader.span_of(token), f"use {SPLIT_EXAMPLE} = a")
        return replace(split, variant=reader.read_name(token), span=reader.span_of(word, token))

    match condition.data, condition.children:
        case "one_of", [Tree(children=tokens)]:
            return any_of(select(token) for token in _distinct(tokens, reader.read_name))
        case "comparison", [Token() as operator, value]:
            if operator in ("=", "==", "!="):
                return Not(select(value)) if operator == "!=" else select(value)
            hint = f"select a variant with = or in: {SPLIT_EXAMPLE} = a"
            fail("unexpected-word", f"unexpected {str(operator)!r}", reader.span_of(operator), hint)
    hint = f"select a variant with = or in: {SPLIT_EXAMPLE} = a"
    fail("unexpected-word", "a variant is selected with = or in", reader.span_of(word), hint)


def _distinct(tokens: Iterable[ValueNode], key: Callable[[Token], str]) -> list[ValueNode]:
    """Return *tokens* without those that spell a name again."""
    return list({key(token) if isinstance(token, Token) else str(token): token for token in tokens}.values())

"""Parse text into an expression, with the grammar in `grammar/audience.lark`."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import cast

from audience.errors import ExpressionError
from audience.language.ast import (
    TOO_DEEP,
    And,
    Everyone,
    Except,
    Expr,
    ExprNode,
    IdFile,
    Limit,
    Matches,
    Nobody,
    Not,
    Or,
    Segment,
    Tag,
    Threshold,
    ThresholdOp,
    Top,
    TopOrder,
    ensure_expr,
)
from audience.language.attribute_names import TPNS_TYPES, UNTYPED
from audience.language.call_reader import read_call
from audience.language.condition_reader import read_condition
from audience.language.event_reader import is_event_call, read_event, require_no_more
from audience.language.grammar import Token, Tree, UnexpectedCharacters, UnexpectedToken, load_grammar
from audience.language.suggest import did_you_mean
from audience.language.syntax_errors import diagnose_character, diagnose_token
from audience.language.token_reader import TokenReader, ValueNode, fail, locate_errors, read_spelled_number


def parse(text: str, *, folder: Path | None = Path()) -> Expr:
    """Parse an expression. Days such as `today` stay as they are written; `bind` makes them absolute.

    Args:
        text: Text of the expression.
        folder: Folder of the files in id lists such as `alias(@ids.txt)`. None rejects such files.

    Raises:
        ExpressionError: With a code, the position and a hint.

    >>> parse("male AND NOT version:1.0.2")
    And(terms=(Tag(type='tag', value='male'), Not(term=Tag(type='version', value='1.0.2'))))
    >>> parse("province in (guangdong, hunan)") == parse("province:guangdong || province:hunan")
    True
    >>> parse("xg_auto_province.guangdong")
    Tag(type='province', value='guangdong')
    >>> parse("@vip AND NOT sample(10%, summer)")
    And(terms=(Segment(name='vip'), Not(term=Sample(percent='10', seed='summer'))))
    """
    if not isinstance(text, str):
        fail("wrong-type", f"expression: expected a string, got {text!r:.60}")
    return _parse(TokenReader(text, folder))


def parse_saved(text: str, files: Iterable[IdFile]) -> Expr:
    """Parse an expression whose files of ids are *files*; no others are read.

    >>> parse_saved("device_id(@staff.txt)", [IdFile("staff.txt", "5d41402a", ("d1", "d2"))]).values
    ('d1', 'd2')
    """
    return _parse(TokenReader(text, None, {file.path: file for file in files}))


def _parse(reader: TokenReader) -> Expr:
    text = reader.text
    try:
        tree = load_grammar().parse(text)
    except UnexpectedCharacters as error:
        raise ExpressionError(diagnose_character(text, error.position)) from None
    except UnexpectedToken as error:
        raise ExpressionError(diagnose_token(text, error)) from None
    try:
        return _build_expr(tree.children[0], reader)
    except RecursionError:  # EXCEPT and limits nest without brackets, which the lexer counts
        raise ExpressionError(TOO_DEEP) from None


def to_expr(expr: Expr | str) -> Expr:
    """Return *expr*, parsed if it is text; the trees of recent texts are kept.

    >>> to_expr("a AND b") is to_expr("a AND b")
    True
    """
    if not isinstance(expr, str):
        return expr if isinstance(expr, ExprNode) else ensure_expr(expr)  # a call less for most
    may_have_files = "(" in expr[: expr.rfind("@") + 1]  # only the brackets of a call name files, which may change
    return parse(expr) if may_have_files else _parse_cached(expr)


_parse_cached = lru_cache(maxsize=1_024)(parse)


def _build_expr(tree: Tree, reader: TokenReader) -> Expr:
    """Return the node of a parse tree. It recurses, within the depth that the grammar allows."""
    parts = tree.children
    match tree.data:
        case "untyped":
            return _build_bare_name(parts[0], reader)
        case "typed":
            return Tag(reader.read_type(parts[0]), reader.read_name(parts[1]), span=reader.span_of(*parts))
        case "union":
            return Or(tuple(_build_expr(part, reader) for part in parts))
        case "intersection":
            return And(tuple(_build_expr(part, reader) for part in parts))
        case "negation":
            return Not(_build_expr(parts[0], reader))
        case "group":
            return _build_expr(parts[0], reader)
        case "everyone":
            return Everyone()
        case "nobody":
            return Nobody()
        case "tpns_tag":
            return _build_tpns_tag(parts[0], parts[1], reader)
        case "conditional":
            return _build_conditional(parts[0], parts[1:], reader)
        case "negated_conditional":
            return Not(_build_conditional(parts[0], parts[1:], reader))
        case "call":
            return read_event(reader, tree, (), _build_expr) if is_event_call(tree) else read_call(reader, tree)
        case "difference":
            return Except(_build_expr(parts[0], reader), _build_expr(parts[1], reader))
        case "untyped_pattern":
            return Matches(UNTYPED, reader.read_pattern(parts[0]), span=reader.span_of(parts[0]))
        case "typed_pattern":
            pattern = reader.read_pattern(parts[1])
            return Matches(reader.read_type(parts[0]), pattern, span=reader.span_of(*parts))
        case "threshold":
            return _build_threshold(parts[0], parts[1], parts[2:], reader)
        case "limit":
            return _build_limit(parts[0], parts[1], parts[2], reader)
    return _build_top(parts[0], parts[1], parts[2], parts[3], reader)


def _build_bare_name(token: Token, reader: TokenReader) -> Expr:
    if token.type == "AT":
        return Segment(reader.name_after_at(token), span=reader.span_of(token))
    return Tag(UNTYPED, reader.read_name(token), span=reader.span_of(token))


def _build_conditional(subject: ValueNode, conditions: list[ValueNode], reader: TokenReader) -> Expr:
    if is_event_call(subject):
        return read_event(reader, cast(Tree, subject), conditions, _build_expr)
    require_no_more(reader, subject, conditions[1:])
    return read_condition(reader, subject, cast(Tree, conditions[0]))


def _build_tpns_tag(type_token: Token, value_token: Token, reader: TokenReader) -> Expr:
    if type_token[:-1] not in TPNS_TYPES:
        message = f"TPNS has no tag type {type_token[:-1]!r}"
        hint = did_you_mean(type_token[:-1], TPNS_TYPES) or "quote it if it is the name of a tag"
        fail("unknown-type", message, reader.span_of(type_token), hint)
    value = reader.read_name(value_token)
    return Tag(TPNS_TYPES[type_token[:-1]], value, span=reader.span_of(type_token, value_token))


def _build_threshold(word: Token, count: Token, operands: list[Tree], reader: TokenReader) -> Expr:
    terms = tuple(_build_expr(operand, reader) for operand in operands)
    number = _read_count(count, reader, f"{word} 2 of (a, b, c)")
    with locate_errors(reader.span_of(word, count)):
        return Threshold(cast(ThresholdOp, str(word)), number, terms)


def _build_limit(operand: Tree, count: Token, seed: Token, reader: TokenReader) -> Expr:
    number = _read_count(count, reader, "limit 1000 seed summer")
    term, seed_name = _build_expr(operand, reader), reader.read_name(seed)
    with locate_errors(reader.span_of(count)):
        return Limit(term, number, seed_name, span=reader.span_of(count, seed))


def _build_top(operand: Tree, order: Token, count: Token, by: Token, reader: TokenReader) -> Expr:
    number = _read_count(count, reader, f"{order.lower()} 1000 by spend")
    term, by_type = _build_expr(operand, reader), reader.read_type(by)
    with locate_errors(reader.span_of(count)):
        return Top(term, number, by_type, cast(TopOrder, order.lower()), span=reader.span_of(order, by))


def _read_count(token: Token, reader: TokenReader, example: str) -> int:
    digits = token.replace("_", "")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > len("1000000000000"):
        if (number := read_spelled_number(token)) is not None:
            example = re.sub("[0-9]+", number, example, count=1)
        fail("bad-count", f"invalid number {str(token)!r:.60}", reader.span_of(token), f"write {example}")
    return int(digits)

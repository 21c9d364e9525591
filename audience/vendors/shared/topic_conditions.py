"""Targeting by topics, as FCM and Huawei have it: conditions like `'a' in topics && !('b' in topics)`."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from audience.algebra.fitting import fit_to_shape, is_bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import Tree
from audience.errors import ExpressionError, Problem
from audience.language import grammar
from audience.language.ast import (
    And,
    Compare,
    Everyone,
    Expr,
    Ids,
    Not,
    Or,
    Reference,
    Tag,
    Within,
    all_of,
    any_of,
    atoms,
    bare,
    walk,
)
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.spec import Payload, Unsupported

ParseNode: TypeAlias = grammar.Tree
OperatorChain: TypeAlias = tuple[Expr, list[tuple[str, Expr]]]  # the first term, then (operator, term) pairs


@dataclass(frozen=True, slots=True)
class TopicDialect:
    """Conditions of one vendor.

    Attributes:
        title: Name in messages.
        shape: Combinations of topics that one request can express.
        readable_pattern: Regular expression of the names that are read.
        legal_pattern: Regular expression of the names that are written, because they surely work.
        legal_hint: Hint for an illegal name.
        max_topics_read: Largest number of topics in a condition that is read; None if no page documents one.
        mixed_precedence: Joins a chain of `&&` and `||` without brackets; None if no page documents which binds
            tighter.
        accepts_not: Whether a page documents `!`.
        accepts_in_topic_typo: Whether the vendor's page misprints `in topics` as `in topic`.
    """

    title: str
    shape: Tree
    readable_pattern: str
    legal_pattern: str
    legal_hint: str
    max_topics_read: int | None
    mixed_precedence: Callable[[OperatorChain], Expr] | None
    accepts_not: bool = True
    accepts_in_topic_typo: bool = False


def fold_left_to_right(chain: OperatorChain) -> Expr:
    """Join a chain from left to right: `a || b && c` is (a OR b) AND c, `a && b || c` is (a AND b) OR c.

    >>> from audience.language.printer import render
    >>> a, b, c = map(bare, "abc")
    >>> render(fold_left_to_right((a, [("||", b), ("&&", c)])))
    '(a OR b) AND c'
    """
    expr, pairs = chain
    for operator, term in pairs:
        expr = all_of([expr, term]) if operator == "&&" else any_of([expr, term])
    return expr


def read_condition(cursor: PayloadCursor, dialect: TopicDialect) -> Expr:
    """Read a condition, or raise PayloadError with the position of the error."""
    tree = _parse_condition(cursor)
    count = sum(1 for _ in tree.find_data("topic"))
    if dialect.max_topics_read is not None and count > dialect.max_topics_read:
        message = f"{count} topics; the maximum is {dialect.max_topics_read}"
        cursor.fail("too-many", message, "send several requests")
    expr = _read_node(tree.children[0], cursor, dialect)
    if count > dialect.shape.max_tags:
        cursor.warn(f"{count} topics; {dialect.title} may refuse more than {dialect.shape.max_tags}")
    if not dialect.shape.allows_unbounded_not and not is_bounded(nnf(expr)):
        cursor.warn(f"NOT without a topic that bounds it; {dialect.title} may refuse it")
    return expr


def _parse_condition(cursor: PayloadCursor) -> ParseNode:
    try:
        return grammar.load_grammar("fcm").parse(cursor.string())
    except ExpressionError as error:
        cursor.fail("bad-condition", error.problems[0].message)
    except (grammar.UnexpectedCharacters, grammar.UnexpectedToken) as error:
        position = error.position + 1
        cursor.fail(
            "bad-condition", f"syntax error at character {position}", "write it like 'a' in topics && !('b' in topics)"
        )


def _read_node(node: ParseNode, cursor: PayloadCursor, dialect: TopicDialect) -> Expr:
    match node.data, node.children:
        case "topic", [name, keyword]:
            if keyword == "topic":
                _handle_in_topic_typo(cursor, dialect)
            return read_topic(str(name)[1:-1], cursor, dialect)
        case "negation", [term]:
            if not dialect.accepts_not:
                cursor.fail("unverified", f"no page of {dialect.title} documents '!'")
            return Not(_read_node(term, cursor, dialect))
        case "group", [chain]:
            return _read_node(chain, cursor, dialect)
    return _read_chain(node, cursor, dialect)


def _read_chain(node: ParseNode, cursor: PayloadCursor, dialect: TopicDialect) -> Expr:
    """Read the children `term operator term operator term …`."""
    terms = [_read_node(term, cursor, dialect) for term in node.children[::2]]
    operators = list(map(str, node.children[1::2]))
    if len(set(operators)) < 2:
        return any_of(terms) if "||" in operators else all_of(terms)
    if dialect.mixed_precedence is None:
        message = f"no page of {dialect.title} documents whether && or || binds tighter"
        cursor.fail("ambiguous", message, "add brackets")
    return dialect.mixed_precedence((terms[0], list(zip(operators, terms[1:], strict=True))))


def _handle_in_topic_typo(cursor: PayloadCursor, dialect: TopicDialect) -> None:
    if not dialect.accepts_in_topic_typo:
        cursor.fail("bad-condition", "'in topic' is a misprint of 'in topics'")
    cursor.warn("'in topic' is a misprint of 'in topics', and is read as that")


def read_topic(name: str, cursor: PayloadCursor, dialect: TopicDialect) -> Tag:
    """Return the tag of the topic *name*; older requests write `/topics/` before it."""
    name = name.removeprefix("/topics/")
    if not re.fullmatch(dialect.readable_pattern, name):
        cursor.fail("illegal-name", f"not a legal topic: {name!r}", dialect.legal_hint)
    if not re.fullmatch(dialect.legal_pattern, name):
        cursor.warn(f"{name!r} may not work as a topic of {dialect.title}")
    return bare(name)


def write_condition(expr: Expr, dialect: TopicDialect) -> Payload:
    """Write *expr*, which has no ids, as `topic` or `condition`, or raise Unsupported with every reason."""
    problems = list(_expr_problems(expr, dialect))
    form = None if problems else fit_to_shape(expr, dialect.shape)
    if form is None:
        raise Unsupported(problems)
    return {"topic": form.value} if isinstance(form, Tag) else {"condition": _format_condition(form)}


def _format_condition(expr: Expr) -> str:
    """Format a condition that means the same whichever operator binds tighter."""
    match expr:
        case Tag(value=value):
            return f"'{value}' in topics"
        case Not(term=term):
            return f"!({_format_condition(term)})"
        case And(terms=terms) | Or(terms=terms):
            operator = " && " if isinstance(expr, And) else " || "
            return operator.join(
                f"({_format_condition(term)})" if isinstance(term, And | Or) else _format_condition(term)
                for term in terms
            )
    raise AssertionError(f"checked by _expr_problems: {expr!r}")


def _expr_problems(expr: Expr, dialect: TopicDialect) -> Iterator[Problem]:
    if expr == Everyone():
        yield Problem("no-broadcast", f"{dialect.title} has no broadcast", hint="use a topic to which all subscribe")
        return
    problems = [problem for atom in atoms(expr) for problem in _atom_problems(atom, dialect)]
    yield from problems
    has_not = any(isinstance(node, Not) for node in walk(expr))
    if has_not and not dialect.shape.max_nots:
        yield Problem("no-not", f"no page of {dialect.title} documents NOT")
    elif not dialect.shape.allows_unbounded_not and not is_bounded(expr):
        hint = "AND it with a tag that all of them have"
        message = f"NOT without a topic that bounds it; {dialect.title} may refuse it"
        yield Problem("not-alone", message, hint=hint)
    elif not problems and fit_to_shape(expr, dialect.shape) is None:
        yield Problem("too-many", f"every form that was tried takes more than {dialect.shape.max_tags} topics")


def _atom_problems(atom: Expr, dialect: TopicDialect) -> Iterator[Problem]:
    match atom:
        case Tag():
            yield from tag_problems(atom, dialect)
        case Ids(kind="registration_id"):
            yield Problem("ids-with-tags", "tokens cannot be combined with anything else", atom.span)
        case Ids(kind=kind):
            yield Problem("no-such-id", f"{dialect.title} has no {kind}", atom.span, hint="use tokens")
        case Reference():
            message = f"{render(atom)}: a {atom.kind} cannot be combined with anything else"
            yield Problem("ids-with-tags", message, atom.span)
        case Compare() | Within():
            yield Problem("no-ranges", f"{render(atom)!r} is a comparison; {dialect.title} has topics only", atom.span)


def tag_problems(tag: Tag, dialect: TopicDialect) -> Iterator[Problem]:
    """Find why the vendor has no topic for *tag*."""
    if tag.type != UNTYPED:
        message = f"{dialect.title} has no topic for {render(tag)!r}: topics have no types"
        yield Problem("no-name", message, tag.span, hint=f"give {tag.type} names in a catalog")
    elif not re.fullmatch(dialect.legal_pattern, tag.value):
        yield Problem("illegal-name", f"{tag.value!r} may not work as a topic", tag.span, hint=dialect.legal_hint)


def assumptions(expr: Expr, dialect: TopicDialect) -> Iterator[Problem]:
    """Find what a request of *expr* takes for granted."""
    if any(isinstance(atom, Tag) for atom in atoms(expr)):
        yield Problem("topics", "exactly the devices with a tag have subscribed to the topic of its name")
    if not is_bounded(nnf(expr)):
        yield Problem("universe", f"NOT refers to all instances of the app registered with {dialect.title}")

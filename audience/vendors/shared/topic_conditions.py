"""What vendors of topics share: conditions as text, `'a' in topics && !('b' in topics)`, and no tags but topics."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

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
from audience.vendors.payload_reader import fail, warn_payload
from audience.vendors.spec import Payload, Unsupported

ParseNode: TypeAlias = grammar.Tree[Any]
OperatorChain: TypeAlias = tuple[
    Expr, list[tuple[str, Expr]]
]  # the first term, and each further one with what joins it


@dataclass(frozen=True, slots=True)
class TopicDialect:
    """How a vendor writes conditions: which names it reads and which are surely legal, and what one request says.

    *mixed* is what it makes of && beside || without brackets, where a page says it; *reads_not* whether `!` is known
    to be understood; *singular* whether its page misprints `in topic`.
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
    """`a || b && c` is (a OR b) AND c, and `a && b || c` is (a AND b) OR c.

    >>> from audience.language.printer import render
    >>> a, b, c = map(bare, "abc")
    >>> render(fold_left_to_right((a, [("||", b), ("&&", c)])))
    '(a OR b) AND c'
    """
    found, rest = chain
    for operator, term in rest:
        found = all_of([found, term]) if operator == "&&" else any_of([found, term])
    return found


def read_condition(condition: str, path: str, dialect: TopicDialect) -> Expr:
    """What *condition* says; PayloadError with its *path* where it says nothing."""
    try:
        tree = grammar.load_parser("fcm").parse(condition)
    except ExpressionError as error:
        fail("bad-condition", error.problems[0].message, path)
    except (grammar.UnexpectedCharacters, grammar.UnexpectedToken) as error:
        column = getattr(error, "column", 0)
        place = f"at character {column}" if column > 0 else "at its end"
        fail("bad-condition", f"cannot be read {place}", path, "'a' in topics && !('b' in topics)")
    count = sum(1 for _ in tree.find_data("topic"))
    if dialect.max_topics_read is not None and count > dialect.max_topics_read:
        fail("too-many", f"{count} topics; {dialect.max_topics_read} is the most", path, "send several requests")
    return _read_node(cast(ParseNode, tree.children[0]), path, dialect)


def _read_node(node: ParseNode, path: str, dialect: TopicDialect) -> Expr:
    match node.data, node.children:
        case "topic", [name, word]:
            if word == "topic":
                _handle_in_topic_typo(path, dialect)
            return read_topic(str(name)[1:-1], path, dialect)
        case "negation", [term]:
            if not dialect.accepts_not:
                fail("unverified", f"no page of {dialect.title} says that it knows '!'", path)
            return Not(_read_node(term, path, dialect))
        case "group", [chain]:
            return _read_node(chain, path, dialect)
    first, *rest = node.children
    operators, terms = list(map(str, rest[::2])), [_read_node(term, path, dialect) for term in rest[1::2]]
    terms = [_read_node(first, path, dialect), *terms]
    if len(set(operators)) < 2:
        return any_of(terms) if "||" in operators else all_of(terms)
    if dialect.mixed_precedence is None:
        fail("ambiguous", f"no page of {dialect.title} says whether && or || binds tighter", path, "add brackets")
    return dialect.mixed_precedence((terms[0], list(zip(operators, terms[1:], strict=True))))


def _handle_in_topic_typo(path: str, dialect: TopicDialect) -> None:
    if not dialect.accepts_in_topic_typo:
        fail("bad-condition", "'in topic' is a misprint of 'in topics'", path)
    warn_payload("'in topic' is a misprint of 'in topics', and is read as that", path)


def read_topic(name: str, path: str, dialect: TopicDialect) -> Tag:
    """The tag of the topic *name*, which older requests write behind `/topics/`."""
    name = name.removeprefix("/topics/")
    if not re.fullmatch(dialect.readable_pattern, name):
        fail("illegal-name", f"{name!r} is no topic", path, dialect.legal_hint)
    return bare(name)


def write_condition(expr: Expr, dialect: TopicDialect) -> Payload:
    """Say *expr*, which is no ids, as `topic` or `condition`; or raise Unsaid with every reason."""
    problems = list(_expr_problems(expr, dialect))
    form = None if problems else fit_to_shape(expr, dialect.shape)
    if form is None:
        raise Unsupported(problems)
    return {"topic": form.value} if isinstance(form, Tag) else {"condition": _format_condition(form)}


def _format_condition(expr: Expr) -> str:
    """A condition that means the same whichever operator binds tighter."""
    match expr:
        case Tag(value=value):
            return f"'{value}' in topics"
        case Not(term=term):
            return f"!({_format_condition(term)})"
        case And(terms=terms) | Or(terms=terms):
            sign = " && " if isinstance(expr, And) else " || "
            return sign.join(
                f"({_format_condition(term)})" if isinstance(term, And | Or) else _format_condition(term)
                for term in terms
            )
    raise AssertionError(f"checked by _problems: {expr!r}")


def _expr_problems(expr: Expr, dialect: TopicDialect) -> Iterator[Problem]:
    if expr == Everyone():
        yield Problem("no-broadcast", f"{dialect.title} has no broadcast", hint="a topic that all subscribe to")
        return
    found = [problem for atom in atoms(expr) for problem in _atom_problems(atom, dialect)]
    yield from found
    nots = any(isinstance(node, Not) for node in walk(expr))
    if nots and not dialect.shape.max_nots:
        yield Problem("no-not", f"no page of {dialect.title} says that it knows NOT")
    elif not dialect.shape.allows_unbounded_not and not is_bounded(expr):
        hint = "AND it with a tag that all of them have"
        yield Problem(
            "not-alone", f"NOT stands without a topic that bounds it; {dialect.title} may refuse it", hint=hint
        )
    elif not found and fit_to_shape(expr, dialect.shape) is None:
        yield Problem("too-many", f"it takes more than {dialect.shape.max_tags} topics, in any form that was tried")


def _atom_problems(atom: Expr, dialect: TopicDialect) -> Iterator[Problem]:
    match atom:
        case Tag():
            yield from tag_problems(atom, dialect)
        case Ids(kind="registration_id"):
            yield Problem("ids-with-tags", "tokens cannot be combined with anything else", atom.span)
        case Ids(kind=kind):
            yield Problem("no-such-id", f"{dialect.title} knows no {kind}", atom.span, hint="name them by token")
        case Compare() | Within():
            yield Problem("no-ranges", f"{render(atom)!r} compares; {dialect.title} has topics only", atom.span)


def tag_problems(tag: Tag, dialect: TopicDialect) -> Iterator[Problem]:
    """Why there is no topic for *tag*."""
    if tag.type != UNTYPED:
        message = f"{dialect.title} has no topic for {render(tag)!r}: topics have no types"
        yield Problem("no-name", message, tag.span, hint=f"give {tag.type} names in a catalog")
    elif not re.fullmatch(dialect.legal_pattern, tag.value):
        yield Problem("illegal-name", f"{tag.value!r} is no topic that surely works", tag.span, hint=dialect.legal_hint)


def assumptions(expr: Expr, dialect: TopicDialect) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    if any(isinstance(atom, Tag) for atom in atoms(expr)):
        yield Problem("topics", "whoever has a tag has subscribed to the topic of its name, and nobody else has")
    if not is_bounded(nnf(expr)):
        yield Problem("universe", f"NOT is out of all instances of the app that {dialect.title} knows")

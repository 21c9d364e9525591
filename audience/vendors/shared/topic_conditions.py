"""What vendors of topics share: conditions as text, `'a' in topics && !('b' in topics)`, and no tags but topics."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from audience.algebra.fitting import bounded, fit
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
from audience.language.attribute_names import BARE
from audience.language.printer import render
from audience.vendors.payload_reader import refuse, warn
from audience.vendors.spec import Payload, Unsaid

Node: TypeAlias = grammar.Tree[Any]
Joined: TypeAlias = tuple[Expr, list[tuple[str, Expr]]]  # the first term, and each further one with what joins it


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a vendor writes conditions: which names it reads and which are surely legal, and what one request says.

    *mixed* is what it makes of && beside || without brackets, where a page says it; *reads_not* whether `!` is known
    to be understood; *singular* whether its page misprints `in topic`.
    """

    title: str
    shape: Tree
    readable: str
    legal: str
    hint: str
    most_read: int | None
    mixed: Callable[[Joined], Expr] | None
    reads_not: bool = True
    singular: bool = False


def left_to_right(joined: Joined) -> Expr:
    """`a || b && c` is (a OR b) AND c, and `a && b || c` is (a AND b) OR c.

    >>> from audience.language.printer import render
    >>> a, b, c = map(bare, "abc")
    >>> render(left_to_right((a, [("||", b), ("&&", c)])))
    '(a OR b) AND c'
    """
    found, rest = joined
    for operator, term in rest:
        found = all_of([found, term]) if operator == "&&" else any_of([found, term])
    return found


def read(condition: str, path: str, dialect: Dialect) -> Expr:
    """What *condition* says; PayloadError with its *path* where it says nothing."""
    try:
        tree = grammar.lark("fcm").parse(condition)
    except ExpressionError as error:
        refuse("bad-condition", error.problems[0].message, path)
    except (grammar.UnexpectedCharacters, grammar.UnexpectedToken) as error:
        column = getattr(error, "column", 0)
        place = f"at character {column}" if column > 0 else "at its end"
        refuse("bad-condition", f"cannot be read {place}", path, "'a' in topics && !('b' in topics)")
    count = sum(1 for _ in tree.find_data("topic"))
    if dialect.most_read is not None and count > dialect.most_read:
        refuse("too-many", f"{count} topics; {dialect.most_read} is the most", path, "send several requests")
    return _read(cast(Node, tree.children[0]), path, dialect)


def _read(node: Node, path: str, dialect: Dialect) -> Expr:
    match node.data, node.children:
        case "topic", [name, word]:
            if word == "topic":
                _misprint(path, dialect)
            return topic(str(name)[1:-1], path, dialect)
        case "negation", [term]:
            if not dialect.reads_not:
                refuse("unverified", f"no page of {dialect.title} says that it knows '!'", path)
            return Not(_read(term, path, dialect))
        case "group", [chain]:
            return _read(chain, path, dialect)
    first, *rest = node.children
    operators, terms = list(map(str, rest[::2])), [_read(term, path, dialect) for term in rest[1::2]]
    terms = [_read(first, path, dialect), *terms]
    if len(set(operators)) < 2:
        return any_of(terms) if "||" in operators else all_of(terms)
    if dialect.mixed is None:
        refuse("ambiguous", f"no page of {dialect.title} says whether && or || binds tighter", path, "add brackets")
    return dialect.mixed((terms[0], list(zip(operators, terms[1:], strict=True))))


def _misprint(path: str, dialect: Dialect) -> None:
    if not dialect.singular:
        refuse("bad-condition", "'in topic' is a misprint of 'in topics'", path)
    warn("'in topic' is a misprint of 'in topics', and is read as that", path)


def topic(name: str, path: str, dialect: Dialect) -> Tag:
    """The tag of the topic *name*, which older requests write behind `/topics/`."""
    name = name.removeprefix("/topics/")
    if not re.fullmatch(dialect.readable, name):
        refuse("illegal-name", f"{name!r} is no topic", path, dialect.hint)
    return bare(name)


def write(expr: Expr, dialect: Dialect) -> Payload:
    """Say *expr*, which is no ids, as `topic` or `condition`; or raise Unsaid with every reason."""
    problems = list(_problems(expr, dialect))
    form = None if problems else fit(expr, dialect.shape)
    if form is None:
        raise Unsaid(problems)
    return {"topic": form.value} if isinstance(form, Tag) else {"condition": _text(form)}


def _text(expr: Expr) -> str:
    """A condition that means the same whichever operator binds tighter."""
    match expr:
        case Tag(value=value):
            return f"'{value}' in topics"
        case Not(term=term):
            return f"!({_text(term)})"
        case And(terms=terms) | Or(terms=terms):
            sign = " && " if isinstance(expr, And) else " || "
            return sign.join(f"({_text(term)})" if isinstance(term, And | Or) else _text(term) for term in terms)
    raise AssertionError(f"checked by _problems: {expr!r}")


def _problems(expr: Expr, dialect: Dialect) -> Iterator[Problem]:
    if expr == Everyone():
        yield Problem("no-broadcast", f"{dialect.title} has no broadcast", hint="a topic that all subscribe to")
        return
    found = [problem for atom in atoms(expr) for problem in _atom_problems(atom, dialect)]
    yield from found
    nots = any(isinstance(node, Not) for node in walk(expr))
    if nots and not dialect.shape.nots:
        yield Problem("no-not", f"no page of {dialect.title} says that it knows NOT")
    elif not dialect.shape.lone_not and not bounded(expr):
        hint = "AND it with a tag that all of them have"
        yield Problem(
            "not-alone", f"NOT stands without a topic that bounds it; {dialect.title} may refuse it", hint=hint
        )
    elif not found and fit(expr, dialect.shape) is None:
        yield Problem("too-many", f"it takes more than {dialect.shape.tags} topics, in any form that was tried")


def _atom_problems(atom: Expr, dialect: Dialect) -> Iterator[Problem]:
    match atom:
        case Tag():
            yield from unnamed(atom, dialect)
        case Ids(kind="registration_id"):
            yield Problem("ids-with-tags", "tokens cannot be combined with anything else", atom.span)
        case Ids(kind=kind):
            yield Problem("no-such-id", f"{dialect.title} knows no {kind}", atom.span, hint="name them by token")
        case Compare() | Within():
            yield Problem("no-ranges", f"{render(atom)!r} compares; {dialect.title} has topics only", atom.span)


def unnamed(tag: Tag, dialect: Dialect) -> Iterator[Problem]:
    """Why there is no topic for *tag*."""
    if tag.type != BARE:
        message = f"{dialect.title} has no topic for {render(tag)!r}: topics have no types"
        yield Problem("no-name", message, tag.span, hint=f"give {tag.type} names in a catalog")
    elif not re.fullmatch(dialect.legal, tag.value):
        yield Problem("illegal-name", f"{tag.value!r} is no topic that surely works", tag.span, hint=dialect.hint)


def conditions(expr: Expr, dialect: Dialect) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    if any(isinstance(atom, Tag) for atom in atoms(expr)):
        yield Problem("topics", "whoever has a tag has subscribed to the topic of its name, and nobody else has")
    if not bounded(nnf(expr)):
        yield Problem("universe", f"NOT is out of all instances of the app that {dialect.title} knows")

"""Find what the conditions around a position of a text select: the devices about which the condition there decides."""

from collections.abc import Iterator, Sequence

from audience.errors import ExpressionError
from audience.language.ast import And, Except, Expr, Limit, Not, Or, Segment, Threshold, Top, all_of, operands
from audience.language.completion import Place, find_accepted, find_event, find_open_bracket
from audience.language.grammar import Token, UnexpectedCharacters, tokenize
from audience.language.parser import parse
from audience.language.printer import render

CURSOR = Segment("the condition at the cursor")  # is put in its place
CURSOR_TEXT = render(CURSOR)
OPERAND_STARTS = frozenset(["_AND", "_OR", "_EXCEPT", "_NOT", "_LPAR", "_COMMA"])
OPERAND_ENDS = frozenset(["_AND", "_OR", "_EXCEPT", "_COMMA", "_LIMIT", "TOP"])


def find_context(text: str, place: Place) -> Expr | None:
    """Return the expression of the devices about which the condition at *place* decides.

    These are the devices of all that the condition is joined with by AND or EXCEPT, at every level; what it is joined
    with by OR does not matter, nor does NOT before it. Open brackets are closed. Text behind the place is left out if
    it is invalid. None if no expression can be made of the text. No file is read.

    >>> from audience.language.completion import find_place
    >>> for text in ("vip AND city:", "vip AND (male OR age > 3 AND city:", "vip EXCEPT city:", "vip OR city:"):
    ...     print(render(find_context(text, find_place(text, len(text)))))
    vip
    vip AND age > 3
    vip
    everyone
    """
    if CURSOR.name in text:
        return None
    try:
        tokens = [*tokenize(text[: place.start])]
        start = _find_operand_start(tokens)
    except (UnexpectedCharacters, ExpressionError):
        return None
    if start is None:
        return None
    before = text[: tokens[start].start_pos] if start < len(tokens) else text[: place.start]
    for after in _iter_texts_behind(text, place, tokens[start:]):
        expr = _parse_closed(f"{before}{CURSOR_TEXT} {after}")
        if expr is not None:
            return _select_around_cursor(expr)
    return None


def _find_operand_start(tokens: Sequence[Token]) -> int | None:
    """Return the position in *tokens* where the condition at their end begins, its NOT left out."""
    position = len(tokens)
    while position >= 0:
        before = tokens[position - 1].type if position else ""
        if not position or before in OPERAND_STARTS:
            if "EVERYONE" in (find_accepted(tokens[:position]) or ()) and not find_event(tokens[:position]):
                return position
            if before in ("_LPAR", "_COMMA"):  # of a list or a call, whose name is before the bracket
                position = find_open_bracket(tokens[:position])
                continue
        position -= 1
    return None


def _iter_texts_behind(text: str, place: Place, operand: Sequence[Token]) -> Iterator[str]:
    """Yield what may stand behind the condition at *place*, whose first tokens are *operand*: what does, or nothing."""
    try:
        tokens = [*tokenize(f'{text[: place.start]}"x"{text[place.end :]}')]
    except (UnexpectedCharacters, ExpressionError):
        tokens = []
    shift = place.end - place.start - len('"x"')
    behind = [token for token in tokens if token.start_pos > place.start]
    end = _find_operand_end(operand, behind)
    if end is not None:
        yield text[end + shift :]
    yield ""


def _find_operand_end(operand: Sequence[Token], behind: Sequence[Token]) -> int | None:
    """Return where the first of the tokens *behind* is that does not belong to the condition; None if all do."""
    depth = betweens = 0
    for number, token in enumerate([*operand, *behind]):
        is_end = token.type == "_RPAR" or (token.type in OPERAND_ENDS and not (token.type == "_AND" and betweens > 0))
        if number >= len(operand) and depth == 0 and is_end:
            return token.start_pos
        depth += (token.type == "_LPAR") - (token.type == "_RPAR")
        if depth == 0:
            betweens += (token.type == "_BETWEEN") - (token.type == "_AND")
    return None


def _parse_closed(text: str) -> Expr | None:
    """Parse *text* with its open brackets closed; None if it is invalid."""
    try:
        types = [token.type for token in tokenize(text)]
        expr = parse(text + ")" * max(0, types.count("_LPAR") - types.count("_RPAR")), folder=None)
    except (UnexpectedCharacters, ExpressionError):
        return None
    return expr


def _select_around_cursor(expr: Expr) -> Expr | None:
    """Return what the conditions around the cursor select; None if it is not in *expr*."""
    if expr == CURSOR:
        return all_of([])
    inner = [_select_around_cursor(term) for term in operands(expr)]
    found = [(number, context) for number, context in enumerate(inner) if context is not None]
    if not found:
        return None
    at, context = found[0]
    match expr:
        case And(terms=terms):
            around: list[Expr] = [*terms[:at], *terms[at + 1 :]]
        case Except(term=term, excluded=excluded):
            around = [Not(excluded)] if at == 0 else [term]
        case Or() | Not() | Threshold() | Limit() | Top():
            around = []
        case _:
            return None
    return _join([*around, context])


def _join(terms: Sequence[Expr]) -> Expr:
    """Return the intersection of *terms*, without `everyone`."""
    return all_of([term for term in terms if term != all_of([])])

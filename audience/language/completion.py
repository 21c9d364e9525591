"""Find what may come next at a position of a text, by the grammar."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from audience.errors import ExpressionError
from audience.language.attribute_names import UNTYPED
from audience.language.call_reader import FUNCTION_NAMES
from audience.language.event_atoms import AGGREGATE_FUNCTIONS, EVENT_FUNCTIONS
from audience.language.event_mistakes import find_open_call
from audience.language.grammar import (
    Token,
    UnexpectedCharacters,
    UnexpectedToken,
    list_open_brackets,
    load_grammar,
    tokenize,
    unquote_token,
)
from audience.language.printer import quote_name
from audience.language.soft_keywords import FIRST_WORDS
from audience.language.token_reader import NAMED_TIMES

CompletionKind: TypeAlias = Literal[
    "keyword", "function", "attribute", "value", "tag", "segment", "unit", "time", "variant", "event", "property"
]
Subject: TypeAlias = Literal[
    "term", "value", "attribute", "ordering", "tag", "variant", "event", "aggregated", "property", "nothing"
]

KEYWORDS = {
    "_AND": ("AND",),
    "_OR": ("OR",),
    "_EXCEPT": ("EXCEPT",),
    "_NOT": ("NOT",),
    "EVERYONE": ("everyone",),
    "NOBODY": ("nobody",),
    "THRESHOLD": ("at least", "at most", "exactly"),
    "_IN": ("in",),
    "_IS": ("is",),
    "NULL": ("null",),
    "EXISTS": ("exists",),
    "_BETWEEN": ("between",),
    "_FROM": ("from",),
    "_TO": ("to",),
    "WITHIN": ("within",),
    "NEXT": ("next",),
    "DAY_ORDER": ("before", "after", "on"),
    "MATCHER": ("matches", "starts with", "ends with", "contains"),
    "_IGNORING": ("ignoring case",),
    "CASE": ("case",),
    "_OF": ("of",),
    "_LIMIT": ("limit",),
    "TOP": ("top", "bottom"),
    "_SEED": ("seed",),
    "_BY": ("by",),
    "AGO": ("ago",),
    "SIGN": ("+", "-"),
    "_WHERE": ("where",),
    "TIMES": ("times",),
}
UNITS = ("days", "weeks", "months", "years", "hours", "minutes")
CONDITION_TOKENS = frozenset(
    ["CMP", "_IN", "_IS", "EXISTS", "_BETWEEN", "_FROM", "WITHIN", "DAY_ORDER", "MATCHER", "_NOT"]
)
NAME_ENDS = frozenset('()":,<>=!&|#')
WORDS_OUTSIDE_WHERE = frozenset(["EVERYONE", "NOBODY", "THRESHOLD", "_EXCEPT", "_LIMIT", "TOP"])
VALUE_STARTS = frozenset(["_COLON", "CMP", "_BETWEEN", "_FROM", "_TO", "DAY_ORDER", "MATCHER"])


@dataclass(frozen=True, slots=True)
class Completion:
    """Text that may replace the word at a position.

    Attributes:
        text: Text as it is written, in quotes if necessary.
        kind: What it is: `keyword`, `function`, `attribute`, `value`, `tag`, `segment`, `unit`, `time`, `variant`,
            `event` or `property`.
        start: Start of the text that it replaces.
        end: End of the text that it replaces.
        devices: Number of devices that have the value or did the event, if an index has counted them.
        within: Number of those among the devices that the other conditions of the text select, if they were counted.
    """

    text: str
    kind: CompletionKind
    start: int
    end: int
    devices: int | None = None
    within: int | None = None


@dataclass(frozen=True, slots=True)
class _Word:
    """Word at a position, from *start* up to *end*; *typed* is the part before the position, without quotes."""

    start: int
    end: int
    typed: str
    is_quoted: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Position in a text: the word there, and what the grammar allows in its place.

    Attributes:
        start: Start of the word.
        end: End of the word.
        typed: Text of the word before the position, without quotes.
        is_quoted: Whether the word begins with a quote.
        subject: Kind of name that the grammar allows.
        attribute: Attribute whose value is expected.
        names: Variants that may be selected.
        words: Keywords and units that the grammar allows.
        event: Event whose properties are meant: an attribute and a value are of it then.
    """

    start: int
    end: int
    typed: str
    is_quoted: bool
    subject: Subject
    attribute: str = ""
    names: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    event: str = ""

    def make(self, text: str, kind: CompletionKind, devices: int | None = None) -> Completion:
        """Return a completion that replaces the word."""
        return Completion(text, kind, self.start, self.end, devices)


def complete(text: str, position: int) -> list[Completion]:
    """Return what the grammar allows at *position* of *text*; `DeviceIndex.complete` also knows names and values.

    >>> [completion.text for completion in complete("active within 7 ", 16)][:3]
    ['days', 'weeks', 'months']
    >>> [completion.text for completion in complete("split(a:50%, b:50%, x) = ", 25)]
    ['a', 'b']
    """
    place = find_place(text, position)
    return [] if place is None else complete_words(place)


def complete_words(place: Place) -> list[Completion]:
    """Return the words of the language that may stand at *place* and begin with what is typed."""
    found: list[Completion] = []
    if place.subject == "variant":
        found += [place.make(quote_name(name), "variant") for name in place.names if name.startswith(place.typed)]
    if place.is_quoted:
        return found
    typed = place.typed.lower()
    if place.subject == "value" and place.attribute != UNTYPED:
        found += [place.make(word, "time") for word in NAMED_TIMES if typed and word.startswith(typed)]
    for word in place.words:
        if word.lower().startswith(typed):
            found.append(place.make(word, "unit" if word in UNITS else "keyword"))
    if place.subject == "property":
        found += [place.make("has(", "function")] if "has".startswith(typed) else []
    if place.subject == "term":
        found += [place.make(f"{name}(", "function") for name in FUNCTION_NAMES if name.startswith(typed)]
    return found


def find_place(text: str, position: int) -> Place | None:
    """Return the place at *position*; None in a comment, and behind a text that is invalid.

    >>> place = find_place("province:gua AND x", 12)
    >>> place.start, place.end, place.typed, place.subject, place.attribute
    (9, 12, 'gua', 'value', 'province')
    """
    position = max(0, min(position, len(text)))
    word = _find_word(text, position)
    if word is None:
        return None
    try:
        tokens = [*tokenize(text[: word.start])]
    except (UnexpectedCharacters, ExpressionError):
        return None
    second_words = _find_second_words(tokens)
    if second_words:
        return Place(word.start, word.end, word.typed, word.is_quoted, "nothing", words=second_words)
    accepted = find_accepted(tokens)
    if accepted is None:
        return None
    subject, attribute, names = _find_subject(tokens, accepted)
    if word.typed.startswith("@") and subject != "term":
        subject = "nothing"
    event = find_event(tokens)
    if event:
        subject = "property" if subject == "term" else subject
        accepted -= WORDS_OUTSIDE_WHERE
    words = _list_words(tokens, accepted)
    return Place(word.start, word.end, word.typed, word.is_quoted, subject, attribute, names, words, event)


def find_event(tokens: Sequence[Token]) -> str:
    """Return the event whose properties are named behind *tokens*, or an empty text outside of a `where`."""
    for position in reversed(list_open_brackets(tokens)):
        if position and tokens[position - 1].lower() in EVENT_FUNCTIONS and len(tokens) > position + 2:
            function, name = tokens[position - 1].lower(), unquote_token(tokens[position + 1])
            is_aggregate = function in AGGREGATE_FUNCTIONS
            return (name.rpartition(".")[0] if is_aggregate else name) if tokens[position + 2].type == "_WHERE" else ""
    return ""


def _find_word(text: str, position: int) -> _Word | None:
    """Return the word at *position*; None in a comment."""
    quoted_from, at = -1, 0
    while at < position:
        if text[at] == "#" and quoted_from < 0 and (not at or text[at - 1].isspace()):
            line_end = text.find("\n", at)
            if line_end < 0 or line_end >= position:
                return None
            at = line_end
        elif text[at] == '"':
            quoted_from = at if quoted_from < 0 else -1
        elif text[at] == "\\" and quoted_from >= 0:
            at += 1
        at += 1
    if quoted_from >= 0:
        typed = text[quoted_from + 1 : position].replace('\\"', '"').replace("\\\\", "\\")
        start = quoted_from - (quoted_from > 0 and text[quoted_from - 1] == "@")
        return _Word(start, _find_quote_end(text, position), ("@" if start < quoted_from else "") + typed, True)
    start = end = position
    while start and _is_in_name(text[start - 1]):
        start -= 1
    while end < len(text) and _is_in_name(text[end]):
        end += 1
    return _Word(start, end, text[start:position], False)


def _find_quote_end(text: str, position: int) -> int:
    """Return the end of the quoted name at *position*, or *position* if the quote is not closed in the line."""
    line_end = text.find("\n", position)
    closed = text.find('"', position, len(text) if line_end < 0 else line_end)
    return position if closed < 0 else closed + 1


def _is_in_name(character: str) -> bool:
    return not character.isspace() and character not in NAME_ENDS


def _find_second_words(tokens: Sequence[Token]) -> tuple[str, ...]:
    """Return the words that complete a keyword of two words, such as `starts`, at the end of *tokens*."""
    if not tokens or tokens[-1].type != "NAME" or tokens[-1].lower() not in FIRST_WORDS:
        return ()
    seconds, type_, _ = FIRST_WORDS[tokens[-1].lower()]
    accepted = find_accepted(tokens[:-1])
    return seconds if accepted and type_ in accepted else ()


def find_accepted(tokens: Sequence[Token]) -> frozenset[str] | None:
    """Return the types of the tokens that may follow *tokens*; None if these are invalid."""
    try:
        return load_grammar().accepted_after(tokens)
    except UnexpectedToken:
        return None


def _list_words(tokens: Sequence[Token], accepted: frozenset[str]) -> tuple[str, ...]:
    """Return the keywords and units of the *accepted* types that have a meaning behind the last token."""
    before, last = [Token("", ""), Token("", ""), *tokens][-2:]
    if before.type in ("WITHIN", "NEXT") and last.isdecimal():
        return UNITS  # a number without a unit means nothing
    dropped: set[str] = set()
    if last.type == "AT":
        dropped |= CONDITION_TOKENS
    if not last[:1].isdecimal() or last.type != "NAME":
        dropped |= {"AGO", "UNIT"}
    if last.lower() not in ("today", "now"):
        dropped.add("SIGN")
    if not last.isdecimal():
        dropped.add("TIMES")
    if find_open_call(tokens) is None:
        dropped.add("_WHERE")
    if last.type == "_RPAR" and find_open_call(tokens[:-1]) is not None:
        dropped |= {"_IN", "_IS", "EXISTS", "MATCHER"}
    units = UNITS if "UNIT" in accepted - dropped else ()
    return (*units, *(word for type_, words in KEYWORDS.items() if type_ in accepted - dropped for word in words))


def _find_subject(tokens: Sequence[Token], accepted: frozenset[str]) -> tuple[Subject, str, tuple[str, ...]]:
    """Return what name may follow *tokens*, with the attribute or the variants that it is about."""
    if "NAME" not in accepted and "STRING" not in accepted:
        return "nothing", "", ()
    if "EVERYONE" in accepted:
        return "term", "", ()
    last = tokens[-1].type
    if last == "_BY":
        return "ordering", "", ()
    opened = find_open_bracket(tokens)
    if last in ("_LPAR", "_COMMA", "_COLON") and opened and tokens[opened - 1].type in ("NAME", "STRING"):
        function = tokens[opened - 1].lower()
        if function in ("has", "anniversary"):
            return "attribute", "", ()
        if function in EVENT_FUNCTIONS and last == "_COLON":
            return _find_operand(tokens, len(tokens))
        if function in EVENT_FUNCTIONS:
            is_name = last == "_LPAR"
            return ("aggregated" if function in AGGREGATE_FUNCTIONS else "event") if is_name else "nothing", "", ()
        return ("tag" if function.startswith("tag") else "nothing"), "", ()
    if last in VALUE_STARTS or last in ("_LPAR", "_COMMA", "_AND") or (last == "_OF" and "SIGN" not in accepted):
        return _find_operand(tokens, opened if last in ("_LPAR", "_COMMA") else len(tokens))
    return "nothing", "", ()


def find_open_bracket(tokens: Sequence[Token]) -> int:
    """Return the position of the innermost bracket that is open, or 0."""
    opened = [0]
    for position, token in enumerate(tokens):
        if token.type == "_LPAR":
            opened.append(position)
        elif token.type == "_RPAR" and len(opened) > 1:
            opened.pop()
    return opened[-1]


def _find_operand(tokens: Sequence[Token], stop: int) -> tuple[Subject, str, tuple[str, ...]]:
    """Return what the condition before *stop* compares: an attribute, or the variants of a split."""
    for position in range(stop - 1, 0, -1):
        if tokens[position].type in CONDITION_TOKENS | {"_COLON"} and tokens[position - 1].type != "_NOT":
            break
    else:
        return "nothing", "", ()
    operand = tokens[position - 1]
    if operand.type != "_RPAR":
        return "value", operand.replace('"', ""), ()
    opened = find_open_bracket(tokens[: position - 1])
    if tokens[opened - 1].lower() != "split":
        return "value", "", ()
    pairs = [at for at in range(opened, position) if tokens[at].type == "_COLON"]
    return "variant", "", tuple(tokens[at - 1].replace('"', "") for at in pairs)

"""Filters of a connected audience: how they are written, each so that absence of a value makes no difference.

    expression                      filters
    x, x:false                      equals true, equals false
    NOT x                           OR of equals false and does_not_exist
    x:12, NOT x:12                  equals 12; OR of not_equal 12 and does_not_exist: what looks like a number is one
    x:0, x < 12, x >= 0             AND of the comparison and exists: absent values are compared as if they were 0
    NOT x < 12                      OR of greater_than_or_equal_to 12 and does_not_exist
    x:Rome                          equals "Rome"; NOT of it is refused, as not_equal ignores case
    x matches "gua*" ignoring case  matches_regex "^gua"; NOT of it is OR of does_not_match_regex and does_not_exist
    x > MOMENT, x < MOMENT          after, before, neither of which includes the moment: their opposites are refused
    x within 48 hours               less_than_x_days_ago 2; other hours are moments of the question

The page of data types (names.DATA_TYPES_DOCS) says that "less than" and "exactly 0" match users without a value, and
that "does not match regex" does not match them.
"""

import re
from collections.abc import Iterator
from typing import TypeAlias

from audience.errors import Problem
from audience.language.ast import Atom, Between, Compare, CompareOp, Has, Matches, Reference, Tag
from audience.language.attribute_names import UNTYPED, own_key
from audience.language.patterns import Wildcard, cases_of, read_pattern
from audience.language.printer import render
from audience.vendors.braze.filter_reading import DATE_COMPARE_OPS, NUMBER_COMPARE_OPS
from audience.vendors.braze.names import (
    ATTRIBUTE,
    BUILTIN_KEYS,
    LAST_USED,
    LIMITS,
    NAME_KEY,
    SUBSCRIPTION_STATUSES,
)
from audience.vendors.payload_reader import format_number
from audience.vendors.relative_times import (
    MINUTES_PER_DAY,
    find_minute_range,
    find_minutes,
    read_period,
    split_range,
)
from audience.vendors.shared.regexes import SPECIAL, read_regex
from audience.vendors.spec import Payload

FilterAtom: TypeAlias = Tag | Compare | Between | Has | Matches
Value: TypeAlias = str | float | bool | None

OPPOSITES: dict[CompareOp, CompareOp] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
NUMBER_WORDS = {operator: word for word, operator in NUMBER_COMPARE_OPS.items()}
DATE_WORDS = {operator: word for word, operator in DATE_COMPARE_OPS.items()}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z", re.ASCII)
DATE_LIKE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*", re.ASCII | re.DOTALL)
NAME_HINT = "give it a name in a catalog: 'attribute.{} …' is a custom attribute of a name that is taken"


def parse_number(text: str) -> float | None:
    """Return the number that is written as *text*, or None if the number would be written otherwise.

    >>> parse_number("12"), parse_number("2.5"), parse_number("012"), parse_number("Rome")
    (12, 2.5, None, None)
    """
    for number_type in (int, float):
        try:
            number = number_type(text)
            if format_number(number) == text:
                return number
        except (ValueError, OverflowError):  # no number, or not a finite one
            continue
    return None


# Writing. -----------------------------------------------------------------------------------------------------------


def emit_filter(atom: FilterAtom) -> Payload:
    """Return the filter of *atom*, for which there are no problems.

    >>> emit_filter(Compare("age", "<", "18"))["AND"][1]
    {'custom_attribute': {'custom_attribute_name': 'age', 'comparison': 'less_than', 'value': 18}}
    """
    if atom.type in BUILTIN_KEYS:
        return _emit_builtin(atom, is_wanted=True)
    name = find_name(atom)
    match atom:
        case Has():
            return _attribute(name, "exists")
        case Tag(value=value):
            number = parse_number(value) if atom.type != UNTYPED else None
            found = _attribute(name, "equals", _read_value(atom))
            return found if number != 0 else _join("AND", _attribute(name, "exists"), found)
        case Matches(pattern=pattern):
            return _attribute(name, "matches_regex", write_regex(pattern))
        case Compare():
            return _emit_comparison(name, atom)
    if (days := find_days(atom)) is not None:
        past = _count_minutes(atom) < 0
        return _attribute(name, f"less_than_x_days_{'ago' if past else 'in_the_future'}", days)
    return _join("AND", *(emit_filter(end) for end in split_range(atom)))


def emit_opposite(atom: FilterAtom) -> Payload:
    """Return the filter of all users that *atom* does not match, those without a value among them.

    >>> [next(iter(each["custom_attribute"].items())) for each in emit_opposite(Tag("tag", "vip"))["OR"]]
    [('custom_attribute_name', 'vip'), ('custom_attribute_name', 'vip')]
    """
    if atom.type in BUILTIN_KEYS:
        return _emit_builtin(atom, is_wanted=False)
    name = find_name(atom)
    absent = _attribute(name, "does_not_exist")
    match atom:
        case Has():
            return absent
        case Tag():
            value = _read_value(atom)
            words = ("equals", not value) if isinstance(value, bool) else ("not_equal", value)
            return _join("OR", _attribute(name, *words), absent)
        case Matches(pattern=pattern):
            return _join("OR", _attribute(name, "does_not_match_regex", write_regex(pattern)), absent)
        case Compare(operator=operator, value=value):
            word = NUMBER_WORDS[OPPOSITES[operator]]
            return _join("OR", _attribute(name, word, parse_number(value)), absent)
    return _join("OR", *(emit_opposite(end) for end in split_range(atom)))


def _emit_builtin(atom: FilterAtom, *, is_wanted: bool) -> Payload:
    match atom:
        case Compare(operator=operator, value=value):
            return {LAST_USED: {"comparison": DATE_WORDS[operator], "value": value}}
        case Tag(type=type_, value=value):
            return {BUILTIN_KEYS[type_]: {"comparison": "is" if is_wanted else "is_not", "value": value}}
    raise AssertionError(f"checked by atom_problems: {atom!r}")


def _emit_comparison(name: str, compare: Compare) -> Payload:
    """Return the filter of a comparison; one that an absent value could fulfil as if it were 0 asks for a value too."""
    if (days := find_days(compare)) is not None:
        side = "ago" if compare.operator == "<" else "in_the_future"
        return _attribute(name, f"greater_than_x_days_{side}", days)
    if (number := parse_number(compare.value)) is None:
        return _attribute(name, DATE_WORDS[compare.operator], compare.value)
    found = _attribute(name, NUMBER_WORDS[compare.operator], number)
    is_above_zero = compare.operator in (">", ">=") and number > 0
    return found if is_above_zero else _join("AND", _attribute(name, "exists"), found)


def _attribute(name: str, comparison: str, value: Value = None) -> Payload:
    words = {NAME_KEY: name, "comparison": comparison}
    return {ATTRIBUTE: words if value is None else {**words, "value": value}}


def _join(operator: str, *filters: Payload) -> Payload:
    return {operator: list(filters)}


def find_name(atom: FilterAtom) -> str:
    """Return the name of the custom attribute that *atom* is about, or an empty string if none can have it.

    >>> find_name(Tag("tag", "vip")), find_name(Has("attribute.version")), find_name(Has("version"))
    ('vip', 'version', '')
    """
    key = atom.value if isinstance(atom, Tag) and atom.type == UNTYPED else atom.type
    return own_key(key) or ""


def _read_value(tag: Tag) -> str | float | bool:
    """Return the value of a tag as the attribute has it: a number if it looks like one; of untyped tags, true."""
    if tag.type == UNTYPED:
        return True
    if tag.value == "false":
        return False
    number = parse_number(tag.value)
    return tag.value if number is None else number


def find_days(atom: Atom) -> int | None:
    """Return the days of 24 hours that Braze counts from the moment of sending, if *atom* was written as such."""
    if not isinstance(atom, Compare | Between):
        return None
    minutes = _count_minutes(atom)
    days, rest = divmod(abs(minutes), MINUTES_PER_DAY)
    if not days or rest:
        return None
    if isinstance(atom, Compare):
        return days if atom.operator == ("<" if minutes < 0 else ">") else None
    own = read_period(atom.type, abs(minutes), "past" if minutes < 0 else "next")
    return days if getattr(atom, "written", None) == own else None


def _count_minutes(atom: Compare | Between) -> int:
    """Return the minutes from now to the bound of a comparison, or to the other end of a range from or to now."""
    return (find_minutes(atom) or 0) if isinstance(atom, Compare) else sum(find_minute_range(atom) or ())


def write_regex(pattern: str) -> str:
    r"""Return the regular expression of *pattern*, which is found anywhere in a text.

    >>> write_regex("gua*"), write_regex("*a.b?"), write_regex("x")
    ('^gua', 'a\\.b.$', '^x$')
    """
    tokens = read_pattern(pattern).tokens
    inner = tokens[tokens[:1] == (Wildcard.ANY_TEXT,) : len(tokens) - (tokens[-1:] == (Wildcard.ANY_TEXT,))]
    text = "".join(_write_token(token) for token in inner)
    starts = "" if tokens[:1] == (Wildcard.ANY_TEXT,) else "^"
    return f"{starts}{text}{'' if tokens[-1:] == (Wildcard.ANY_TEXT,) else '$'}"


def _write_token(token: str | Wildcard) -> str:
    match token:
        case Wildcard.ANY_TEXT:
            return ".*"
        case Wildcard.ANY_CHARACTER:
            return "."
    return f"\\{token}" if token in SPECIAL or token in ".\\" else str(token)


# Problems. ----------------------------------------------------------------------------------------------------------


def atom_problems(atom: FilterAtom, *, is_negated: bool = False) -> Iterator[Problem]:
    """Yield the reasons why no filter means *atom*, or its opposite."""
    if atom.type in BUILTIN_KEYS:
        yield from _builtin_problems(atom, is_negated)
        return
    yield from _name_problems(atom)
    match atom:
        case Tag(type=type_) if type_ != UNTYPED:
            yield from _value_problems(atom)
            if is_negated:
                yield from _case_problems(atom)
        case Compare():
            yield from _comparison_problems(atom, is_negated)
        case Between() if find_days(atom) is None or is_negated:
            for end in split_range(atom):
                yield from _comparison_problems(end, is_negated)
        case Matches():
            yield from _pattern_problems(atom)


def _name_problems(atom: FilterAtom) -> Iterator[Problem]:
    name = find_name(atom)
    if not name:
        message = f"{render(atom)!r}: Braze has no {atom.type} of its own in a connected audience"
        yield Problem("no-name", message, atom.span, hint=NAME_HINT)
    elif name != name.strip():
        message = f"{render(atom)!r}: Braze strips white space around the name of an attribute"
        yield Problem("illegal-name", message, atom.span)


def _value_problems(tag: Tag) -> Iterator[Problem]:
    limit = LIMITS["value_characters"]
    if limit.is_exceeded_by(len(tag.value)):
        message = f"{render(tag)!r:.80} has {len(tag.value)} characters; the maximum is {limit.maximum}"
        yield Problem("name-too-long", message, tag.span)
    if tag.value == "true":
        message = f"{render(tag)!r}: a Boolean that is true is a tag without a type here"
        yield Problem("illegal-name", message, tag.span, hint=f"write {tag.type}")
    if DATE_LIKE.fullmatch(tag.value):
        message = f"{render(tag)!r}: Braze turns a text that looks like a date into a time"
        yield Problem("no-relation", message, tag.span, hint="compare it with moments")


def _case_problems(tag: Tag) -> Iterator[Problem]:
    if isinstance(_read_value(tag), str) and any(len(cases_of(char)) > 1 for char in tag.value):
        message = f"NOT {render(tag)!r}: Braze's not_equal ignores case, so that other spellings would be left out too"
        hint = f'with "NOT {tag.type} matches … ignoring case" they are meant to be'
        yield Problem("no-relation", message, tag.span, hint=hint)


def _builtin_problems(atom: FilterAtom, is_negated: bool) -> Iterator[Problem]:
    match atom:
        case Tag(type=type_, value=value) if type_ != LAST_USED:
            if value not in SUBSCRIPTION_STATUSES:
                message = f"{render(atom)!r}: {type_} has no such value"
                yield Problem("no-such-value", message, atom.span, hint=f"one of {', '.join(SUBSCRIPTION_STATUSES)}")
        case Compare(type=type_, operator=operator, value=value) if type_ == LAST_USED:
            if operator not in DATE_WORDS or not MOMENT.fullmatch(value) or is_negated:
                yield _inclusive_problem(atom)
        case Has():
            message = f"{render(atom)!r}: Braze cannot ask whether a user has any {atom.type}"
            yield Problem("no-existence", message, atom.span)
        case _:
            yield Problem("no-relation", f"{render(atom)!r}: Braze compares {atom.type} with one moment", atom.span)


def _inclusive_problem(atom: FilterAtom) -> Problem:
    message = f"{render(atom)!r}: Braze's before and after take one moment with its zone, and do not include it"
    return Problem("no-relation", message, atom.span, hint="compare by > or < with a moment, outside of NOT")


def _comparison_problems(compare: Compare, is_negated: bool) -> Iterator[Problem]:
    if parse_number(compare.value) is not None and compare.written is None:
        return
    if MOMENT.fullmatch(compare.value) is None:
        message = f"{render(compare)!r}: Braze compares numbers and moments, no days, versions or texts"
        yield Problem("no-ranges", message, compare.span)
    elif is_negated or (compare.operator not in DATE_WORDS and find_days(compare) is None):
        yield _inclusive_problem(compare)


def _pattern_problems(matches: Matches) -> Iterator[Problem]:
    if not matches.ignores_case:
        message = f"{render(matches)!r}: Braze's regular expressions ignore case"
        yield Problem("no-pattern", message, matches.span, hint="add `ignoring case` if that is meant")
    elif read_regex(write_regex(matches.pattern)) != [matches.pattern]:
        message = f"{render(matches)!r}: of some letters it is not certain how Braze ignores their case"
        yield Problem("no-pattern", message, matches.span)


def reference_problems(reference: Reference, *, is_read_back: bool) -> Iterator[Problem]:
    """Yield why *reference* is no filter: it must be read from the filter that it holds."""
    if not is_read_back:
        message = f"{render(reference)!r:.100} is no filter of Braze"
        hint = "name it as a payload has it"
        yield Problem("bad-reference", message, reference.span, hint=hint)

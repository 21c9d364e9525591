"""Build the nodes of calls such as `sample(10%, summer)` and `alias(u1, @ids.txt)`."""

from collections.abc import Iterable
from typing import TypeAlias, cast

from audience._fs.text_encoding import EncodingError
from audience.errors import ExpressionError, Problem
from audience.language import validation
from audience.language.ast import (
    ID_KINDS,
    And,
    Expr,
    Has,
    IdFile,
    Ids,
    Matches,
    Not,
    Reference,
    Sample,
    Split,
    Tag,
    any_of,
)
from audience.language.attribute_names import UNTYPED
from audience.language.event_atoms import EVENT_FUNCTIONS
from audience.language.foreign_calls import OTHER_CALLS
from audience.language.grammar import Token, Tree
from audience.language.id_files import TABLE_HINT, read_id_file
from audience.language.suggest import did_you_mean
from audience.language.syntax_errors import COLON_HINT
from audience.language.token_reader import TokenReader, fail
from audience.span import Span

FUNCTION_NAMES = (
    *("tag", "tag_and", "tag_not", "has", "reference", "sample", "split", "anniversary"),
    *EVENT_FUNCTIONS,
)
CALL_NAMES = (*FUNCTION_NAMES, *ID_KINDS)
HAS_EXAMPLE = "has(email)"
ANNIVERSARY_EXAMPLE = "anniversary(birthday) = today"
REFERENCE_EXAMPLE = 'reference(onesignal, segment, "Active Users")'
SAMPLE_EXAMPLE = "sample(10%, summer)"
SPLIT_EXAMPLE = "split(a:50%, b:50%, summer)"

CallEntry: TypeAlias = Token | Tree  # one argument of a call: a name, or a pair such as a:50%


def read_call(reader: TokenReader, call: Tree) -> Expr:
    """Return the node of a call without a condition behind it. A name that is no function lists the ids of a column."""
    word, entries = split_call(call)
    match function_name(word):
        case "has":
            return _read_has(reader, word, entries)
        case "reference":
            return _read_reference(reader, word, entries)
        case "sample":
            return _read_sample(reader, word, entries)
        case "split":
            return read_split(reader, call)
        case "anniversary":
            hint = f"compare it with a day: {ANNIVERSARY_EXAMPLE}"
            fail("missing-operand", f"{str(word)!r} is not compared with anything", reader.span_of(word), hint)
        case "tag" | "tag_and" | "tag_not" as name:
            return _combine_tags(name, [_read_tag(reader, entry) for entry in _require_single(reader, entries)])
    return _read_id_list(reader, word, entries)


def unknown_call_problem(name: str, span: Span | None, columns: Iterable[str] = ()) -> Problem:
    """Return the problem of a call that is neither a function nor lists the ids of one of the *columns* of an index.

    >>> unknown_call_problem("exists", None).hint, unknown_call_problem("aliass", None).hint
    ('write has(email)', 'did you mean alias?')
    """
    known = list(dict.fromkeys((*CALL_NAMES, *columns)))
    hint = OTHER_CALLS.get(name.lower()) if name not in known else None
    hint = hint or did_you_mean(name, known)
    hint = hint or f"use one of {', '.join(known)}, or put AND or OR before the bracket"
    return Problem("unknown-call", f"unknown function {name!r}", span, hint=hint)


def split_call(call: Tree) -> tuple[Token, list[CallEntry]]:
    """Return the name and the arguments of a call."""
    word, entries = call.children
    return word, entries.children


def function_name(word: Token) -> str:
    """Return the function that *word* names, or an empty text. In quotes it names an id column."""
    name = word.lower()
    return name if name in FUNCTION_NAMES else ""


def _require_single(reader: TokenReader, entries: list[CallEntry]) -> list[Token]:
    """Return *entries* as names and patterns, or raise ExpressionError if one is a pair."""
    for entry in entries:
        if isinstance(entry, Tree) and entry.data == "filtered":
            hint = "where is about the properties of events: did(purchase where amount > 20)"
            fail("unexpected-word", "unexpected where", reader.span_of(entry), hint)
        if isinstance(entry, Tree):
            _, colon, value = cast("list[Token]", entry.children)
            hint = f"percentages belong in {SPLIT_EXAMPLE}" if value.endswith("%") else COLON_HINT
            fail("unexpected-colon", "unexpected ':'", reader.span_of(colon), hint)
    return cast("list[Token]", entries)


def _require_names(reader: TokenReader, entries: list[CallEntry]) -> list[Token]:
    """Return *entries* as names, or raise ExpressionError if one is a pair or a pattern."""
    tokens = _require_single(reader, entries)
    for token in tokens:
        if token.type == "PATTERN":
            reader.read_name(token)
    return tokens


def _read_tag(reader: TokenReader, token: Token) -> Tag | Matches:
    if token.type == "PATTERN":
        return Matches(UNTYPED, reader.read_pattern(token), span=reader.span_of(token))
    return Tag(UNTYPED, reader.read_name(token), span=reader.span_of(token))


def _combine_tags(call_name: str, tags: list[Tag | Matches]) -> Expr:
    """Combine *tags* as EngageLab's `tag_and` (all of them), `tag_not` (none of them) or `tag` (any of them) does."""
    if call_name == "tag_and":
        return And(tuple(tags)) if len(tags) > 1 else tags[0]
    return Not(any_of(tags)) if call_name == "tag_not" else any_of(tags)


def _read_has(reader: TokenReader, word: Token, entries: list[CallEntry]) -> Has:
    attribute = read_only_attribute(reader, word, entries, HAS_EXAMPLE)
    return Has(attribute, span=reader.span_of(word))


def read_only_attribute(reader: TokenReader, word: Token, entries: list[CallEntry], example: str) -> str:
    """Return the attribute that is the only argument of a call."""
    attribute, *following = _require_names(reader, entries)
    if following:
        hint = f"{word.lower()} takes one attribute: {example}; join several with AND or OR"
        fail("unexpected-word", f"unexpected {str(following[0])!r}", reader.span_of(following[0]), hint)
    return reader.read_type(attribute)


def _read_reference(reader: TokenReader, word: Token, entries: list[CallEntry]) -> Reference:
    names = [reader.read_name(token) for token in _require_names(reader, entries)]
    if len(names) != 3:
        message = f"a reference has a vendor, a kind and a name, found {len(names)} of them"
        fail("bad-reference", message, reader.span_of(word), f"write {REFERENCE_EXAMPLE}")
    vendor, kind, value = names
    return Reference(vendor, kind, value, span=reader.span_of(word))


def _read_sample(reader: TokenReader, word: Token, entries: list[CallEntry]) -> Sample:
    first, *seeds = _require_names(reader, entries)
    percent = _read_percent(reader, first, f"put the percentage first: {SAMPLE_EXAMPLE}")
    if len(seeds) > 1:
        message = f"unexpected {str(seeds[1])!r}"
        fail("unexpected-word", message, reader.span_of(seeds[1]), f"write {SAMPLE_EXAMPLE}")
    return Sample(percent, _read_seed(reader, word, seeds, SAMPLE_EXAMPLE), span=reader.span_of(word))


def read_split(reader: TokenReader, call: Tree) -> Split:
    """Return a split of which no variant is selected."""
    word, entries = split_call(call)
    last = entries[-1]
    seeds = [last] if isinstance(last, Token) and not last.endswith("%") else []
    variants = tuple(_read_variant(reader, pair) for pair in entries[: len(entries) - len(seeds)])
    return Split(variants, _read_seed(reader, word, seeds, SPLIT_EXAMPLE), span=reader.span_of(word))


def _read_variant(reader: TokenReader, pair: CallEntry) -> tuple[str, str]:
    """Read the name and percentage of one variant."""
    if isinstance(pair, Token):
        missing = "name" if pair.endswith("%") else "percentage"
        hint = f"give each variant a name and a percentage, and put the seed last: {SPLIT_EXAMPLE}"
        fail("bad-sides", f"variant {str(pair)!r} has no {missing}", reader.span_of(pair), hint)
    _require_single(reader, [pair] if pair.data == "filtered" else [])
    name, _, percent = cast("list[Token]", pair.children)
    return reader.read_name(name), _read_percent(reader, percent, f"write {SPLIT_EXAMPLE}")


def _read_percent(reader: TokenReader, token: Token, hint: str) -> str:
    text, span = reader.read_name(token), reader.span_of(token)
    if not text.endswith("%"):
        number = validation.DECIMAL_NUMBER.fullmatch(text)
        fail("bad-share", f"invalid percentage {text!r:.60}", span, f"write {text}%" if number else hint)
    return validation.normalize_percent(text[:-1], span)


def _read_seed(reader: TokenReader, word: Token, seed_tokens: list[Token], example: str) -> str:
    """Read the seed. An unquoted seed that looks like a percentage is rejected as a likely mistake."""
    if not seed_tokens or seed_tokens[0].endswith("%"):
        hint = f"add any name; the same name selects the same devices again: {example}"
        fail("missing-seed", f"{str(word)!r} has no seed", reader.span_of(*(seed_tokens or [word])), hint)
    return reader.read_name(seed_tokens[0])


def _read_id_list(reader: TokenReader, word: Token, entries: list[CallEntry]) -> Ids:
    """Return a list of ids: the written ids, then those of its files."""
    kind = word.lower() if word.lower() in ID_KINDS else reader.read_name(word)
    if kind not in ID_KINDS and any(isinstance(entry, Tree) for entry in entries):
        raise ExpressionError(unknown_call_problem(kind, reader.span_of(word)))
    tokens = _require_names(reader, entries)
    files = tuple(_read_id_file(reader, token, kind) for token in tokens if token.type == "AT")
    names = tuple(reader.unquote(token) for token in tokens if token.type != "AT")
    values = _join_values(names, files) if files else names
    return Ids(kind, values, files, span=reader.span_of(word))


def _join_values(names: tuple[str, ...], files: tuple[IdFile, ...]) -> tuple[str, ...]:
    """Return the distinct ids: those that are written and in no file, then those of the files."""
    if len(files) == 1 and not names:
        return files[0].ids
    in_files = dict.fromkeys(identifier for file in files for identifier in file.ids)
    written = dict.fromkeys(name for name in names if name not in in_files)
    return (*written, *in_files)


def _read_id_file(reader: TokenReader, token: Token, kind: str) -> IdFile:
    """Read a file with one id per line."""
    path, span = reader.name_after_at(token), reader.span_of(token)
    if path in reader.files:
        return reader.files[path]
    if reader.folder is None:
        fail("no-files", "files are not allowed here", span, "list the ids instead")
    try:
        file = read_id_file(path, reader.folder, kind)
    except EncodingError as error:
        fail("unreadable-file", f"{path}: {error}", span, "name a UTF-8 file with one id per line")
    except OSError as error:
        fail("unreadable-file", f"{path}: {error.strerror}", span, "name a UTF-8 file with one id per line")
    except ValueError as error:
        fail("unreadable-file", f"{path}: {error}", span, f"write one id per line, or {TABLE_HINT.format(path=path)}")
    if not file.ids:
        fail("empty-list", f"{path} contains no ids", span, "write one id per line, or use nobody")
    return file

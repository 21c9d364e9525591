"""Find tags, ids and ranges of an expression that no device has: legal, but often mistakes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from audience.counts import format_count
from audience.errors import Problem
from audience.index.query.attribute_rows import has_tag
from audience.index.query.counting import count_devices
from audience.index.query.empty_ranges import find_empty_ranges
from audience.index.query.questions import bind_segments
from audience.index.query.validate import atoms_of_operands, suggest_same_value, validate_and_expand
from audience.index.storage import single_ids
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Aggregate, Did, EventMoment, Expr, Ids, Matches, Tag
from audience.language.attribute_names import UNTYPED
from audience.language.patterns import contained_text, escape_pattern, read_pattern
from audience.language.printer import quote_name, render
from audience.language.suggest import did_you_mean

ABSENT_VALUES = frozenset(["null", "none", "nil", "undefined", "n/a"])
FILE_SUFFIXES = (".txt", ".csv", ".tsv", ".parquet", ".ndjson", ".json")
MAX_HINTED_TAGS = 5  # finding a similar tag reads all values of the attribute


def find_unmatched(expr: Expr, snapshot: Snapshot, as_of: AsOf | None = None) -> list[Problem]:
    """Return a problem for each tag, id list, range and condition about events of *expr* that no device has.

    The first tags have hints.
    """
    problems: list[Problem] = []
    asked = as_of or read_as_of(default_timezone=snapshot.timezone)
    validate_and_expand(expr, snapshot, asked)
    written = bind_segments(expr, snapshot, asked)  # with days and times as they are written
    for atom in atoms_of_operands(written):
        match atom:
            case Tag() if count_devices(atom, snapshot, asked) == 0:
                hint = _suggest_tag(atom, snapshot) if len(problems) < MAX_HINTED_TAGS else None
                problems.append(Problem("no-device", f"no device has {render(atom)!r}", atom.span, hint=hint))
            case Matches() if count_devices(atom, snapshot, asked) == 0:
                hint = _suggest_pattern(atom, snapshot, asked) if len(problems) < MAX_HINTED_TAGS else None
                message = f"no device has a value for {render(atom)!r}"
                problems.append(Problem("no-device", message, atom.span, hint=hint))
            case Ids():
                problems += _find_missing_ids(atom, snapshot)
            case Did() | Aggregate() | EventMoment():
                from audience.index.query.events.unmatched import find_unmatched_events  # few expressions have these

                problems += find_unmatched_events(atom, snapshot, asked)
    multi_valued = snapshot.multi_valued_attributes
    problems += find_empty_ranges(written, snapshot.roles, multi_valued, asked.zone)
    return [*problems, *_find_contained_values(written, snapshot, multi_valued)]


def _find_contained_values(expr: Expr, snapshot: Snapshot, multi_valued: frozenset[str]) -> Iterator[Problem]:
    """Yield a problem for each `contains` with a whole value of a list: it is about texts, not about lists."""
    for atom in atoms_of_operands(expr):
        if not isinstance(atom, Matches) or atom.type not in multi_valued or not _is_written_as_contains(atom):
            continue
        text = contained_text(atom.pattern)
        if text is not None and any(has_tag(tag := Tag(atom.type, text), shard) for shard in snapshot.shards):
            message = f"{render(atom)!r} also finds the values that have {text!r:.60} inside"
            yield Problem("contains-in-list", message, atom.span, hint=f"write {render(tag)} for the value itself")


def _is_written_as_contains(matches: Matches) -> bool:
    """Return whether a pattern was written in words: `*en*` is meant as it is."""
    span = matches.span
    return span is not None and " contains " in span.text[span.start : span.end].lower()


def _find_missing_ids(ids: Ids, snapshot: Snapshot) -> list[Problem]:
    id_count = len(set(ids.values))
    missing = id_count - _count_found(ids, snapshot.shards)
    if not missing:
        return []
    listed = ", ".join(f"@{file.path}" for file in ids.files) or "…"
    message = f"{missing:,} of {format_count(id_count, 'id')} in {ids.kind}({listed}) not found in the index"
    return [Problem("no-device", message, ids.span, hint=_suggest_file(ids))]


def _suggest_file(ids: Ids) -> str | None:
    """Return a hint at the file that was probably meant by an id such as `staff.txt`."""
    names = [value for value in ids.values if value.lower().endswith(FILE_SUFFIXES)]
    return f"write {ids.kind}(@{quote_name(names[0].removeprefix('@'))}) for the ids in the file" if names else None


def _count_found(ids: Ids, shards: Sequence[Shard]) -> int:
    """Return how many of the distinct *ids* a device has."""
    columns = {shard.name: single_ids.columns_of_kind(ids.kind, shard) for shard in shards}
    if all(single_ids.are_few(ids.values, columns[shard.name], shard) for shard in shards):
        found = {
            each for shard in shards for each in ids.values if single_ids.find_rows(each, columns[shard.name], shard)
        }
        return len(found)
    from audience.index.storage import id_search  # imports Polars, which only many ids need

    return int(id_search.locate_in_shards(ids, shards)["id"].n_unique())


def _suggest_tag(tag: Tag, snapshot: Snapshot) -> str | None:
    """Return a hint at the tag that was probably meant."""
    if tag == Tag(UNTYPED, "all"):
        return "write everyone for all devices"
    if tag.type == UNTYPED and tag.value.removeprefix("@") in snapshot.segments and tag.value[:1] == "@":
        return f"write {tag.value} without quotes for the segment"
    if tag == Tag(UNTYPED, "@"):
        return "name a segment behind it: @vip"
    if tag.value.lower() in ABSENT_VALUES and tag.type != UNTYPED:
        return f"write {quote_name(tag.type)} is null for devices without a value"
    if {"*", "?"} & set(tag.value):
        return f"in quotes * and ? are themselves: write {render(Matches(tag.type, tag.value))}"
    from audience.index.query.attribute_stats import collect_attribute_stats  # imports Polars

    values = collect_attribute_stats(snapshot)[tag.type].values
    return did_you_mean(tag.value, values) or suggest_same_value(tag, snapshot)


def _suggest_pattern(matches: Matches, snapshot: Snapshot, asked: AsOf) -> str | None:
    """Return a hint at the pattern that was probably meant: in another case, or written as in another language."""
    text = read_pattern(matches.pattern, matches.ignores_case).literal
    in_any_case = replace(matches, ignores_case=True)
    found = [in_any_case, *(replace(matches, pattern=pattern) for pattern in _translate_pattern(matches.pattern))]
    if text is not None:
        found.append(replace(matches, pattern=f"*{escape_pattern(text)}*"))
    return next((f"write {render(each)}" for each in found if count_devices(each, snapshot, asked)), None)


def _translate_pattern(pattern: str) -> list[str]:
    """Return the patterns that SQL means by `gua%`, and a regular expression by `^gua.*`."""
    regular = pattern.strip("/").removeprefix("^").removesuffix("$").replace(".*", "*").replace(".+", "?*")
    return [each for each in (pattern.replace("%", "*"), regular) if each != pattern and each.strip("*")]

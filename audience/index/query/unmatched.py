"""What an expression names that no device has: legal, and often a slip of the pen."""

from audience.errors import Problem
from audience.index.query.evaluate import count_devices
from audience.index.query.validate import suggest_same_value, validate_and_expand
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Expr, Ids, Tag, atoms
from audience.language.printer import render
from audience.language.suggest import did_you_mean

MAX_HINTED_TAGS = 5  # tags that no device has, for which a likely one is looked for


def find_unmatched(expr: Expr, snapshot: Snapshot) -> list[Problem]:
    """What *expr* names that no device has: not an error, but often a slip of the pen."""
    found: list[Problem] = []
    for atom in atoms(validate_and_expand(expr, snapshot)):
        match atom:
            case Tag() if count_devices(atom, snapshot) == 0:
                hint = _suggest_tag(atom, snapshot) if len(found) < MAX_HINTED_TAGS else None
                found.append(Problem("no-device", f"no device has {render(atom)!r}", atom.span, hint=hint))
            case Ids(kind=kind, values=values):
                from audience.index.storage import (
                    id_search,  # here, as it takes Polars, and nothing else of a question does
                )

                missing = len(set(values)) - id_search.locate_in_shards(atom, snapshot.shards)["id"].n_unique()
                if missing:
                    message = f"{missing:,} of {len(set(values)):,} ids in {kind}(…) are not in the index"
                    found.append(Problem("no-device", message, atom.span))
    return found


def _suggest_tag(tag: Tag, snapshot: Snapshot) -> str | None:
    """A hint at the tag that was probably meant by one that no device has."""
    from audience.index.query.attribute_stats import (
        collect_attribute_stats,  # here, as it takes Polars, and a tag that is met asks for none
    )

    return did_you_mean(tag.value, collect_attribute_stats(snapshot)[tag.type].values) or suggest_same_value(
        tag, snapshot
    )

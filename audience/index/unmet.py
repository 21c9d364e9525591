"""What an expression names that no device has: legal, and often a slip of the pen."""

from audience.errors import Problem
from audience.index.check import check, same_value
from audience.index.evaluate import count
from audience.index.snapshot import Snapshot
from audience.language.expr import Expr, Ids, Tag, atoms
from audience.language.render import render
from audience.language.suggest import did_you_mean

HINTS = 5  # tags that no device has, for which a likely one is looked for


def unmet(expr: Expr, snapshot: Snapshot) -> list[Problem]:
    """What *expr* names that no device has: not an error, but often a slip of the pen."""
    found: list[Problem] = []
    for atom in atoms(check(expr, snapshot)):
        match atom:
            case Tag() if count(atom, snapshot) == 0:
                hint = _meant(atom, snapshot) if len(found) < HINTS else None
                found.append(Problem("no-device", f"no device has {render(atom)!r}", atom.span, hint=hint))
            case Ids(kind=kind, values=values):
                from audience.index import find  # here, as it takes Polars, and nothing else of a question does

                missing = len(set(values)) - find.among(atom, snapshot.shards)["id"].n_unique()
                if missing:
                    message = f"{missing:,} of {len(set(values)):,} ids in {kind}(…) are not in the index"
                    found.append(Problem("no-device", message, atom.span))
    return found


def _meant(tag: Tag, snapshot: Snapshot) -> str | None:
    """A hint at the tag that was probably meant by one that no device has."""
    from audience.index.known import known  # here, as it takes Polars, and a tag that is met asks for none

    return did_you_mean(tag.value, known(snapshot)[tag.type].values) or same_value(tag, snapshot)

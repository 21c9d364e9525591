"""Copies of snapshots that are asked without effect: they begin with what a snapshot keeps, and keep new things apart.

What a question keeps makes the next one faster, and decides how it is evaluated: located bitmaps, cached rows and
words, what was wanted once, plans, and which expressions are slow. A copy has all of these as its own. Files that are
mapped, bitmaps and words are never changed, and shared. So is what is remembered without deciding anything: which
blocks of files are verified, at which numbers the values of deltas are joined, and bitmaps of parts that are closed up.
"""

from typing import TypeVar

from audience.index.storage.evaluation_notes import EvaluationNotes
from audience.index.storage.joined_shard import JoinedShard
from audience.index.storage.kept_forms import KeptForms
from audience.index.storage.snapshot import Snapshot

Kept = TypeVar("Kept")


def detach_snapshot(snapshot: Snapshot) -> Snapshot:
    """Return a copy of *snapshot* that is asked without effect on it. It must be held for as long as its shards."""
    copied = _copy_with_dicts(snapshot)
    copied.cache = snapshot.cache.copy()
    shards = {id(shard): _copy_with_dicts(shard) for shard in snapshot.shards}
    for shard in snapshot.evaluated_shards:
        shards.setdefault(id(shard), _copy_with_dicts(shard))
    copied.shards = tuple(shards[id(shard)] for shard in snapshot.shards)
    copied.evaluated_shards = tuple(shards[id(shard)] for shard in snapshot.evaluated_shards)
    group = snapshot.shards[0].group.detach(copied.shards) if snapshot.shards else None
    for shard in shards.values():
        shard.cache = copied.cache
        if group is not None:
            shard.group = group
        if isinstance(shard, JoinedShard):
            shard.parts = tuple(shards[id(part)] for part in shard.parts)
            shard.earlier_bitmaps = tuple(earlier.pass_on(shard.numbering) for earlier in shard.earlier_bitmaps)
    return copied


def take_notes(snapshot: Snapshot) -> list[EvaluationNotes]:
    """Begin to note how each of the evaluated shards of a detached snapshot, and each part of it, finds its rows."""
    notes = [EvaluationNotes() for _ in snapshot.evaluated_shards]
    for shard, own in zip(snapshot.evaluated_shards, notes, strict=True):
        shard.notes = own
        for part in shard.parts if isinstance(shard, JoinedShard) else ():
            part.notes = own
    return notes


def _copy_with_dicts(kept: Kept) -> Kept:
    """Return a copy of an object whose dictionaries are copied, too."""
    copied = object.__new__(type(kept))
    for name, value in dict(vars(kept)).items():
        vars(copied)[name] = value.copy() if isinstance(value, dict | KeptForms) else value
    return copied

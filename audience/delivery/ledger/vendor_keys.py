"""Idempotency keys that the vendor gives out, as the ledger keeps them: each is for the calls of one batch."""

from collections.abc import Iterable

from audience.delivery.clock import Moment
from audience.delivery.ledger.connection import Ledger
from audience.delivery.ledger.transitions import Batch, require_claimed
from audience.vendors.delivery_spec import KeySource


class OtherKey(Exception):
    """Call in doubt that was made with a key of another kind, or without one: the vendor would not drop its repeat."""


def take_key(ledger: Ledger, worker: int, batch: Batch, source: KeySource, now: Moment) -> str | None:
    """Return the key for the next call of *batch*; None if one has to be requested first.

    A batch in doubt keeps the key of its call, however old it is: its dedup window decides about repeats.

    Raises:
        OtherKey: It is in doubt, and its call was made with a key that is not from *source*.
        WorkerEnded: Another process has declared the worker dead.
    """
    require_claimed(ledger, worker, batch)
    values = {**now._asdict(), "max_age": source.max_age.total_seconds(), "batch": batch.number}
    [(state,)] = ledger.query("load_batch_state", number=batch.number)
    own = ledger.query("find_own_key", **values)
    is_same = bool(own) and own[0][1] == source.name
    if state != "todo" and not is_same:
        raise OtherKey
    if is_same and (state != "todo" or own[0][2]):
        return str(own[0][0])
    given = ledger.query("give_key", **values, source=source.name)
    return str(given[0][0]) if given else None


def end_repeats(ledger: Ledger, worker: int, batch: Batch) -> None:
    """Release *batch*, whose call in doubt cannot be repeated."""
    ledger.query("end_dedup_window", number=batch.number)
    ledger.query("release_batch", worker=worker, number=batch.number)


def store_keys(ledger: Ledger, source: KeySource, keys: Iterable[str], requested_at: Moment) -> int:
    """Store *keys* that were asked for at the moment *requested_at*, and return how many of them are new."""
    values = {**requested_at._asdict(), "source": source.name}
    return sum(len(ledger.query("insert_key", **values, value=key)) for key in keys)

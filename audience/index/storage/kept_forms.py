"""Forms and runs of stored bitmaps, learnt while thresholds over them are answered, for the next ones."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from audience.index.storage.bitmap_forms import BitmapForm, measure_form
from audience.index.storage.bitmaps import BitMap, RowSet
from audience.index.storage.row_runs import Runs, SortedRuns, read_runs

MAX_KEPT_BITMAPS = 4_096
MAX_KEPT_SUMS, MAX_KEPT_RUNS = 8, 1 << 16  # of several bitmaps, sorted together: half a megabyte each
MAX_WANTED_SUMS = 4_096

SumKey: TypeAlias = tuple[int, ...]  # identities of bitmaps, in order: one that is counted twice is there twice


class KeptForm(NamedTuple):
    """Stored bitmap, its form, its runs if they were read, and whether they would have been of use before."""

    bitmap: BitMap
    form: BitmapForm
    runs: Runs | None = None
    was_wanted: bool = False


class KeptSum(NamedTuple):
    """Stored bitmaps in any order, and all of their runs, sorted; None if they would only have been of use before."""

    bitmaps: tuple[BitMap, ...]  # which keeps their identities from being those of others
    runs: SortedRuns | None = None


class KeptForms:
    """Forms of stored bitmaps by identity, and runs of several."""

    def __init__(self) -> None:
        self.forms: dict[int, KeptForm] = {}
        self._sums: dict[SumKey, KeptSum] = {}
        self._wanted: dict[SumKey, KeptSum] = {}

    def __iter__(self) -> Iterator[int | SumKey]:
        yield from self.forms
        yield from self._sums
        yield from self._wanted

    def copy(self) -> "KeptForms":
        """Return a copy; what it keeps from now on is its own."""
        copied = KeptForms()
        copied.forms, copied._sums, copied._wanted = self.forms.copy(), self._sums.copy(), self._wanted.copy()
        return copied

    def measure(self, operand: RowSet) -> KeptForm:
        """Return the form of a bitmap, which is kept if the bitmap is."""
        bitmap = operand.bitmap
        known = self.forms.get(id(bitmap))
        if known is None or known.bitmap is not bitmap:
            known = KeptForm(bitmap, measure_form(bitmap))
            if operand.cached:
                self._keep(known)
        return known

    def mark_wanted(self, forms: Sequence[KeptForm]) -> bool:
        """Record that the runs of bitmaps that are kept were wanted. Return whether all of them were before."""
        for each in forms:
            if id(each.bitmap) in self.forms:
                self.forms[id(each.bitmap)] = each._replace(was_wanted=True)
        return all(each.was_wanted for each in forms)

    def find_sum(self, operands: Sequence[RowSet]) -> SortedRuns | None:
        """Return the runs of all *operands*, sorted, if they are kept."""
        known = self._sums.get(_key([operand.bitmap for operand in operands])) if self._sums else None
        return None if known is None else known.runs

    def mark_sum_wanted(self, operands: Sequence[RowSet]) -> bool:
        """Record that the sorted runs of *operands* were wanted. Return whether they were before, and can be kept."""
        if not all(operand.cached for operand in operands):
            return False
        bitmaps = tuple([operand.bitmap for operand in operands])
        key = _key(bitmaps)
        if key in self._wanted:
            return True
        if len(self._wanted) >= MAX_WANTED_SUMS:
            self._wanted.clear()
        self._wanted[key] = KeptSum(bitmaps)
        return False

    def sort_runs(self, operands: Sequence[RowSet]) -> SortedRuns:
        """Return the runs of all *operands*, sorted, which are kept if the bitmaps are and if they are few."""
        known = self.find_sum(operands)
        if known is not None:
            return known
        bitmaps = tuple([operand.bitmap for operand in operands])
        runs = SortedRuns([self._load_runs(bitmap) for bitmap in bitmaps])
        if len(runs) <= MAX_KEPT_RUNS and all(operand.cached for operand in operands):
            if len(self._sums) >= MAX_KEPT_SUMS:
                self._sums.clear()
            self._sums[_key(bitmaps)] = KeptSum(bitmaps, runs)
        return runs

    def _load_runs(self, bitmap: BitMap) -> Runs:
        """Return the runs of a bitmap, which are kept if its form is."""
        known = self.forms.get(id(bitmap))
        if known is None or known.bitmap is not bitmap:
            return read_runs(bitmap)
        if known.runs is None:
            known = known._replace(runs=read_runs(bitmap))
            self._keep(known)
        assert known.runs is not None
        return known.runs

    def _keep(self, form: KeptForm) -> None:
        if len(self.forms) >= MAX_KEPT_BITMAPS:
            self.forms.clear()
        self.forms[id(form.bitmap)] = form


def _key(bitmaps: Sequence[BitMap]) -> SumKey:
    return tuple(sorted(map(id, bitmaps)))

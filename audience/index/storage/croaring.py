"""Operations on roaring bitmaps: those of pyroaring, and the same ones with Python's lock released.

pyroaring keeps the lock while CRoaring works, so that threads wait for one another. Its wheels export the functions of
CRoaring, which ctypes calls without the lock. They do not promise to: each function is compared with pyroaring on
containers of all kinds before it is used, and pyroaring's own is used where one is missing or differs.
"""

#   BitMap object of Python          struct of CRoaring
#   reference count, type, …
#   pointer ────────────────────────▶ keys, containers          raw_pointer; freed together with the object
#   hash

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from operator import and_, iand, ior, isub, or_, sub
from typing import TYPE_CHECKING, Any, TypeAlias

import pyroaring
from pyroaring import BitMap

from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rows: TypeAlias = "NDArray[np.uint32]"
Words: TypeAlias = "NDArray[np.uint64]"
Combine: TypeAlias = Callable[[BitMap, BitMap], BitMap]
Count: TypeAlias = Callable[[BitMap, BitMap], int]
Update: TypeAlias = Callable[[BitMap, BitMap], Any]
ViewFrozen: TypeAlias = "Callable[[NDArray[np.uint8]], BitMap]"
CopyView: TypeAlias = Callable[[BitMap], BitMap]
ListView: TypeAlias = "Callable[[BitMap, Rows], None]"
Samples: TypeAlias = tuple[BitMap, BitMap, BitMap]

# A call through ctypes takes half a microsecond more; operations on less take not much longer than that.
MIN_UNLOCKED_BYTES, MIN_UNLOCKED_ROWS = 1 << 16, 1 << 15
SHARED_BLOCKS = 4  # that are worked on as one: 256 KB and more of each operand
_SHARED: list[None] = []  # has an element for each question that threads share
KNOWN_VERSIONS = ("v4.", "v5.")  # of CRoaring, whose functions have the parameters that are passed here
POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)
LISTED_BEYOND = 64  # row numbers: those of a word are written at once, however many it has
CONTAINER_WORDS = 1024  # of a container of a roaring bitmap, which covers 65,536 rows


@dataclass(frozen=True, slots=True)
class Operations:
    """Functions on bitmaps, named as those of pyroaring. The updates change their first operand, others none."""

    intersection: Combine
    union: Combine
    difference: Combine
    intersection_cardinality: Count
    union_cardinality: Count
    difference_cardinality: Count
    intersection_update: Update
    union_update: Update
    difference_update: Update
    union_many: Callable[[Sequence[BitMap]], BitMap]  # of one or more bitmaps, computed lazily
    fill_rows: Callable[[BitMap, Rows], None]  # contiguous, and as many as the bitmap has
    from_rows: Callable[[Rows], BitMap]
    fill_words: Callable[[BitMap, Words], None]  # words reach beyond the last row, and the bitmap is not empty
    deserialize: Callable[[memoryview], BitMap]  # a ValueError or an IndexError if it is not a bitmap


def _fill_rows(bitmap: BitMap, rows: Rows) -> None:
    rows[:] = np.frombuffer(bitmap.to_array(), dtype=np.uint32)


def _from_rows(rows: Rows) -> BitMap:
    """Return a bitmap of *rows*. Conversion through `array` is ten times faster than from numpy itself."""
    buffer = array("I")
    buffer.frombytes(np.ascontiguousarray(rows, dtype=np.uint32).view(np.uint8).data)
    return BitMap(buffer)


def _fill_words(bitmap: BitMap, words: Words) -> None:
    is_set = np.zeros(64 * len(words), dtype=np.bool_)
    is_set[np.frombuffer(bitmap.to_array(), dtype=np.uint32)] = True
    words[:] = np.packbits(is_set, bitorder="little").view("<u8")


LOCKED = Operations(
    intersection=and_,
    union=or_,
    difference=sub,
    intersection_cardinality=BitMap.intersection_cardinality,
    union_cardinality=BitMap.union_cardinality,
    difference_cardinality=BitMap.difference_cardinality,
    intersection_update=iand,
    union_update=ior,
    difference_update=isub,
    union_many=lambda bitmaps: BitMap.union(*bitmaps),
    fill_rows=_fill_rows,
    from_rows=_from_rows,
    fill_words=_fill_words,
    deserialize=BitMap.deserialize,  # type: ignore[arg-type]  # accepts any buffer, but is annotated with bytes
)


def is_question_shared() -> bool:
    """Return whether threads share a question, so that none should hold the lock for long."""
    return bool(_SHARED)


def choose_operations(nbytes: int, rows: BitMap | None = None) -> Operations:
    """Return the operations without the lock if threads share a question and the operands are large.

    Args:
        nbytes: Size of the operands.
        rows: One of them if its rows bound the work, whatever the size of the other one.
    """
    if not _SHARED or nbytes < MIN_UNLOCKED_BYTES or (rows is not None and len(rows) < MIN_UNLOCKED_ROWS):
        return LOCKED
    return load_unlocked()


def choose_block_length(length: int) -> int:
    """Return how long a block that numpy works on should be: *length*, or more if threads share a question.

    Each step of numpy releases the lock, and waits for it again.
    """
    return SHARED_BLOCKS * length if _SHARED else length


@contextmanager
def share_question() -> Iterator[None]:
    """Let threads combine large bitmaps at the same time; one alone is a little faster with the lock."""
    _SHARED.append(None)
    try:
        yield
    finally:
        _SHARED.pop()


@cache
def load_unlocked() -> Operations:
    """Return the operations that release Python's lock, and those of pyroaring in place of functions that do not work.

    >>> load_unlocked().intersection(BitMap([1, 2]), BitMap([2, 3]))
    BitMap([2])
    """
    functions = _load_functions()
    if functions is None:
        return LOCKED
    samples = make_samples()
    return replace(LOCKED, **{name: each for name, each in functions.define() if is_equal(name, each, samples)})


def load_view_copier() -> CopyView | None:
    """Return the function that copies a view of words, of which each container has rows; None if there is none.

    The view may be wrong about how many rows its containers have. The copy has each container in the form of its rows.
    """
    functions = _load_functions()
    return None if functions is None else functions.define_view_copier()


def load_view_lister() -> ListView | None:
    """Return the function that writes the rows of a view of words, None if there is none.

    The view may believe that a container has more rows than it has. Up to `LISTED_BEYOND` numbers are written after the
    last row.
    """
    functions = _load_functions()
    return None if functions is None else functions.define_view_lister()


def load_frozen_view() -> ViewFrozen | None:
    """Return the function that makes a bitmap of memory in the frozen format, without a copy; None if there is none.

    The memory has to be kept for as long as the bitmap. CRoaring checks its header and its size.
    """
    functions = _load_functions()
    return None if functions is None else functions.define_frozen_view()


def _load_functions() -> _Functions | None:
    """Return the functions of CRoaring; None if they are not exported, or of a version that is not known."""
    pointer_offset = _find_pointer()
    if pointer_offset is None or not pyroaring.__croaring_version__.startswith(KNOWN_VERSIONS):
        return None
    try:
        return _Functions(ctypes.CDLL(pyroaring.__file__), pointer_offset)
    except OSError:
        return None


def _find_pointer() -> int | None:
    """Return where in the memory of a BitMap its pointer to the struct of CRoaring is; None if that is not known."""
    if sys.implementation.name != "cpython":
        return None
    bitmap = BitMap([1])
    memory = ctypes.string_at(id(bitmap), BitMap.__basicsize__)
    words = [memory[at : at + POINTER_BYTES] for at in range(0, len(memory), POINTER_BYTES)]
    pointer = bitmap.raw_pointer.to_bytes(POINTER_BYTES, sys.byteorder)
    return POINTER_BYTES * words.index(pointer) if words.count(pointer) == 1 else None


def _find_address(memory: NDArray[Any]) -> int:
    """Return the address of *memory*, which is contiguous and may be changed: in a third of the time of numpy."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory.data)) if memory.size else memory.ctypes.data


class _Bitset(ctypes.Structure):
    """Struct `bitset_t` of CRoaring: words, how many are used, and how many there is room for."""

    _fields_ = (("array", ctypes.c_void_p), ("arraysize", ctypes.c_size_t), ("capacity", ctypes.c_size_t))


class _Functions:
    """Functions of CRoaring as functions on bitmaps.

    A bitmap is an argument of a Python function while CRoaring reads it, and cannot be freed before that returns.
    """

    def __init__(self, library: ctypes.CDLL, pointer_offset: int):
        self._library = library
        self._pointer_offset = pointer_offset

    def define(self) -> list[tuple[str, Any]]:
        """Return the functions by name of the operation. Those that CRoaring does not export are left out."""
        makers: dict[str, Callable[[], Any]] = {
            "intersection": lambda: self._combine("and"),
            "union": lambda: self._combine("or"),
            "difference": lambda: self._combine("andnot"),
            "intersection_cardinality": lambda: self._count("and_cardinality"),
            "union_cardinality": lambda: self._count("or_cardinality"),
            "difference_cardinality": lambda: self._count("andnot_cardinality"),
            "intersection_update": lambda: self._update("and_inplace"),
            "union_update": lambda: self._update("or_inplace"),
            "difference_update": lambda: self._update("andnot_inplace"),
            "union_many": self._union_many,
            "fill_rows": self._fill_rows,
            "from_rows": self._from_rows,
            "fill_words": self._fill_words,
            "deserialize": self._deserialize,
        }
        defined = []
        for name, make in makers.items():
            try:
                defined.append((name, make()))
            except AttributeError:  # CRoaring does not export it
                continue
        return defined

    def define_frozen_view(self) -> ViewFrozen | None:
        """Return the function that views memory in the frozen format, None if CRoaring does not export it."""
        try:
            function = self._load("frozen_view", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        except AttributeError:
            return None

        def view_frozen(memory: NDArray[np.uint8]) -> BitMap:
            pointer = function(_find_address(memory), len(memory))
            if pointer is None:
                raise ValueError("not in the frozen format of this version")
            return self._own(pointer)

        return view_frozen

    def define_view_copier(self) -> CopyView | None:
        """Return the function that copies a view of words, None if CRoaring does not export it.

        CRoaring counts the rows of words again after unions that did not, and makes arrays of those that have few.
        """
        try:
            copy = self._load("copy", ctypes.c_void_p, ctypes.c_void_p)
            repair = self._load("repair_after_lazy", None, ctypes.c_void_p)
        except AttributeError:
            return None

        def copy_view(view: BitMap) -> BitMap:
            copied = self._own(copy(view.raw_pointer))
            repair(copied.raw_pointer)
            return copied

        return copy_view

    def define_view_lister(self) -> ListView | None:
        """Return the function that writes the rows of a view of words, None if CRoaring does not export it."""
        try:
            function = self._load("to_uint32_array", None, ctypes.c_void_p, ctypes.c_void_p)
        except AttributeError:
            return None
        return lambda view, rows: function(view.raw_pointer, _find_address(rows))

    def _load(self, name: str, result: Any, *arguments: Any) -> Any:
        function = self._library[f"roaring_bitmap_{name}"]
        function.restype, function.argtypes = result, arguments
        return function

    def _own(self, pointer: int | None) -> BitMap:
        """Return a bitmap that owns the struct at *pointer*, made as pyroaring itself does; None is out of memory."""
        if pointer is None:
            raise MemoryError
        bitmap = BitMap.__new__(BitMap, no_init=True)  # type: ignore[call-arg]
        ctypes.c_void_p.from_address(id(bitmap) + self._pointer_offset).value = pointer
        return bitmap

    def _combine(self, name: str) -> Combine:
        function = self._load(name, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        own = self._own
        return lambda first, second: own(function(first.raw_pointer, second.raw_pointer))

    def _count(self, name: str) -> Count:
        function = self._load(name, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)
        return lambda first, second: function(first.raw_pointer, second.raw_pointer)

    def _update(self, name: str) -> Update:
        function = self._load(name, None, ctypes.c_void_p, ctypes.c_void_p)
        return lambda bitmap, other: function(bitmap.raw_pointer, other.raw_pointer) or bitmap

    def _union_many(self) -> Callable[[Sequence[BitMap]], BitMap]:
        function = self._load("or_many", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)

        def union_many(bitmaps: Sequence[BitMap]) -> BitMap:
            pointers = (ctypes.c_void_p * len(bitmaps))(*[bitmap.raw_pointer for bitmap in bitmaps])
            return self._own(function(len(bitmaps), pointers))

        return union_many

    def _run_optimize(self) -> Callable[[BitMap], bool]:
        function = self._load("run_optimize", ctypes.c_bool, ctypes.c_void_p)
        return lambda bitmap: function(bitmap.raw_pointer)

    def _fill_rows(self) -> Callable[[BitMap, Rows], None]:
        function = self._load("to_uint32_array", None, ctypes.c_void_p, ctypes.c_void_p)

        def fill_rows(bitmap: BitMap, rows: Rows) -> None:
            assert len(rows) == len(bitmap) and rows.flags.c_contiguous
            function(bitmap.raw_pointer, _find_address(rows))

        return fill_rows

    def _from_rows(self) -> Callable[[Rows], BitMap]:
        function = self._load("of_ptr", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
        optimize = self._run_optimize()

        def from_rows(rows: Rows) -> BitMap:
            contiguous = np.ascontiguousarray(rows, dtype=np.uint32)
            bitmap = self._own(function(len(contiguous), contiguous.ctypes.data))
            optimize(bitmap)
            return bitmap

        return from_rows

    def _fill_words(self) -> Callable[[BitMap, Words], None]:
        function = self._load("to_bitset", ctypes.c_bool, ctypes.c_void_p, ctypes.POINTER(_Bitset))

        def fill_words(bitmap: BitMap, words: Words) -> None:
            has_words_only = bitmap.get_statistics()["n_bitset_containers"] == -(-len(words) // CONTAINER_WORDS)
            # CRoaring clears the words beyond those in use first, which is in vain if all of them are written then
            bitset = _Bitset(_find_address(words), len(words) if has_words_only else 0, len(words))
            if not function(bitmap.raw_pointer, ctypes.byref(bitset)):
                raise MemoryError
            words[bitset.arraysize :] = 0

        return fill_words

    def _deserialize(self) -> Callable[[memoryview], BitMap]:
        read = self._load("portable_deserialize_safe", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        is_valid = self._load("internal_validate", ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)

        def deserialize(data: memoryview) -> BitMap:
            view = np.frombuffer(data, dtype=np.uint8)
            pointer, reason = read(view.ctypes.data, len(view)), ctypes.c_char_p()
            if pointer is None:
                raise ValueError("not a bitmap")
            bitmap = self._own(pointer)
            if not is_valid(bitmap.raw_pointer, ctypes.byref(reason)):
                raise ValueError(f"invalid bitmap: {(reason.value or b'').decode()}")
            return bitmap

        return deserialize


def is_equal(name: str, function: Any, samples: Samples) -> bool:
    """Return whether *function* does with *samples* what the function *name* of pyroaring does."""
    try:
        observed = _observe(name, function, samples)
    except (MemoryError, ValueError):
        return False
    return observed == _observe(name, getattr(LOCKED, name), samples)


def _observe(name: str, function: Any, samples: Samples) -> list[Any]:
    """Return what *function* returns for copies of *samples*, and the copies after the calls."""
    first, second, empty = operands = [BitMap(sample, optimize=False) for sample in samples]
    small = second & BitMap(range(4 << 16))  # one container of each kind
    match name:
        case "union_many":
            results = [function([first, second, empty, second]), function([first])]
        case "fill_rows":
            results = [_fill_new_rows(function, bitmap).tobytes() for bitmap in (small, empty)]
        case "from_rows":
            results = [function(_fill_new_rows(_fill_rows, small)[::step]) for step in (1, -99)]
        case "fill_words":
            results = [_fill_new_words(function, small)]
        case "deserialize":
            results = [function(memoryview(bitmap.serialize())) for bitmap in operands]
        case _:
            results = [function(one, other) for one, other in ((first, second), (second, first), (first, empty))]
    return [*results, *operands, small]


def _fill_new_rows(function: Callable[[BitMap, Rows], None], bitmap: BitMap) -> Rows:
    rows = np.empty(len(bitmap), dtype=np.uint32)
    function(bitmap, rows)
    return rows


def _fill_new_words(function: Callable[[BitMap, Words], None], bitmap: BitMap) -> bytes:
    words = np.full(CONTAINER_WORDS * ((bitmap.max() >> 16) + 2), ~np.uint64(0))
    function(bitmap, words)
    return words.tobytes()


def make_samples() -> Samples:
    """Return two bitmaps in which each pair of kinds of containers meets, and an empty bitmap.

    >>> [sample.get_statistics()["n_run_containers"] for sample in make_samples()]
    [4, 4, 0]
    """
    first, second = BitMap(optimize=False), BitMap(optimize=False)
    for key in range(16):  # the kinds are none, an array, words and runs
        _add_container(first, key, kind=key >> 2, offset=0)
        _add_container(second, key, kind=key & 3, offset=500)
    return first, second, BitMap()


def _add_container(bitmap: BitMap, key: int, *, kind: int, offset: int) -> None:
    start, stop = (key << 16) + offset, (key << 16) + offset + 60_000
    match kind:
        case 1:
            bitmap |= BitMap(range(start, stop, 50), optimize=False)
        case 2:
            bitmap |= BitMap(range(start, stop, 10), optimize=False)
        case 3:
            bitmap.add_range(start + 1_000, start + 9_000)
            bitmap.add_range(stop - 7_000, stop)

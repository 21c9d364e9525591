"""Encoding of a text file: from its byte order mark, from all of its bytes, or as the user names it.

UTF-8, UTF-16 and GB18030 (which contains GBK and GB2312) are detected. Other encodings have to be named: nearly every
file is valid Latin-1, so that a guess would replace characters without an error.
"""

import codecs
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

BYTE_ORDER_MARKS = (  # UTF-32 first, because its mark begins with the one of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
GB_NAMES = frozenset({"gb2312", "gbk", "gb18030", "hz"})
COMMON_ENCODINGS = (  # those that an error may name
    *("gb18030", "big5", "cp932", "shift_jis", "euc-jp", "cp949", "euc-kr", "windows-1252", "windows-1251"),
    *("koi8-r", "windows-1250", "windows-1253", "windows-1254", "windows-1255", "windows-1256"),
)
HEAD_BYTES = 1 << 16
MAX_LINE_BYTES = 1 << 16  # a longer line is examined in parts
MAX_SAMPLE_BYTES = 1 << 18  # lines with other characters than ASCII that the detection looks at
MIN_NUL_SHARE = 0.1  # of the bytes of a text in UTF-16 that has digits, separators and line ends
MIN_LEAD = 2.0  # how many times as likely the best guess must be as any other
MIN_LEAD_EUC_JP = 3.0  # the same for EUC-JP, whose kanji are characters of GB18030, too
MIN_LEAD_EUC_JP_SHORT = 4.0  # the same for a text of few characters
MIN_CHARACTERS, FEW_CHARACTERS = 6, 12  # distinct ones
MIN_VALID_SHARE = 0.9  # of the lines of a file in UTF-8 that is damaged


class EncodingError(ValueError):
    """Text whose encoding is unknown or other than given, with a *hint*."""

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Encoding:
    """Encoding of a file: the name of its codec, how it is known, and the length of its byte order mark."""

    codec: str
    reason: str
    mark_bytes: int = 0


def open_binary(file: Path) -> IO[bytes]:
    """Open *file* for reading, decompressed if its name ends in `.gz`."""
    return cast(IO[bytes], gzip.open(file)) if file.suffix.lower() == ".gz" else file.open("rb")


def find_encoding(file: Path, given: str | None = None) -> Encoding:
    """Return the encoding of *file*; all of its bytes are examined unless it is *given* or has a byte order mark.

    Raises:
        EncodingError: The encoding is unknown.
    """
    with open_binary(file) as stream:
        marked = read_mark(stream.read(HEAD_BYTES), given)
        if marked is not None:
            return marked
        stream.seek(0)
        return detect_encoding(_iter_lines(stream))


def read_mark(head: bytes, given: str | None) -> Encoding | None:
    """Return the encoding that the user or the first bytes of a file name; None if all bytes have to be examined.

    Raises:
        EncodingError: There is no encoding *given*, or the byte order mark is of another one.
    """
    marked = next((Encoding(codec, "byte order mark", len(mark)) for mark, codec in BYTE_ORDER_MARKS
                   if head.startswith(mark)), None)  # fmt: skip
    if given is None:
        return marked or _find_utf16(head)
    codec = normalize_encoding(given)
    if marked is None:
        return Encoding({"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(codec, codec), "given")
    if not marked.codec.startswith(codec):
        raise EncodingError(f"begins with the byte order mark of {marked.codec.upper()}", "leave out --encoding")
    return Encoding(marked.codec, "given", marked.mark_bytes)


def normalize_encoding(name: str) -> str:
    """Return the codec of the encoding *name*; GB18030 for its subsets GBK and GB2312.

    >>> normalize_encoding("UTF8"), normalize_encoding("GBK")
    ('utf-8', 'gb18030')

    Raises:
        EncodingError: There is no such encoding of text.
    """
    hint = "for example --encoding gb18030, utf-16 or latin-1"
    try:
        codec = codecs.lookup(name).name
        "".encode(codec)
        if not isinstance(b"a".decode(codec, "replace"), str):
            raise LookupError
    except (LookupError, ValueError, TypeError, AssertionError):
        raise EncodingError(f"{name!r} is not an encoding of text", hint) from None
    return {"utf-8-sig": "utf-8", "gb2312": "gb18030", "gbk": "gb18030", "ascii": "utf-8"}.get(codec, codec)


def _find_utf16(head: bytes) -> Encoding | None:
    """Return UTF-16 without a byte order mark: every second byte of an ASCII character is zero."""
    odd, even = head[1::2].count(0), head[::2].count(0)
    if max(odd, even) < MIN_NUL_SHARE * len(head) or not head or min(odd, even) > max(odd, even) / 100:
        return None
    return Encoding("utf-16-le" if odd > even else "utf-16-be", "zero bytes of ASCII characters")


def _iter_lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(MAX_LINE_BYTES):
        yield line


def detect_encoding(lines: Iterable[bytes]) -> Encoding:
    """Return the encoding of text without a byte order mark, given all of its *lines*.

    Raises:
        EncodingError: It is none of those that are detected, or one of several.
    """
    sample, sample_bytes, first_invalid = dict[bytes, None](), 0, 0
    counts = {True: 0, False: 0}  # lines that are valid UTF-8, and lines that are not
    for number, line in enumerate(lines, 1):
        if line.isascii():
            continue
        is_valid = _is_utf8(line)
        counts[is_valid] += 1
        first_invalid = first_invalid or (0 if is_valid else number)
        if sample_bytes < MAX_SAMPLE_BYTES and line not in sample:
            sample[line] = None
            sample_bytes += len(line)
    if not first_invalid:
        return Encoding("utf-8", "all bytes are valid")
    if counts[True] >= MIN_VALID_SHARE * sum(counts.values()):
        return Encoding("utf-8", f"all but {counts[False]:,} lines are valid")
    return _detect_legacy(b"".join(sample), first_invalid)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _detect_legacy(sample: bytes, first_invalid: int) -> Encoding:
    """Return GB18030 if it is by far the likeliest encoding of *sample*."""
    import chardet  # takes 0.1 s, and most files are UTF-8

    guesses = [(str(guess["encoding"] or "").lower(), guess["confidence"]) for guess in chardet.detect_all(sample)]
    best, confidence = guesses[0] if guesses else ("", 0.0)
    character_count = _count_characters(sample, "gb18030")
    min_leads = {"euc-jp": MIN_LEAD_EUC_JP if character_count >= FEW_CHARACTERS else MIN_LEAD_EUC_JP_SHORT}
    others = [guess for guess in guesses if guess[0] not in GB_NAMES]
    is_ahead = all(confidence >= min_leads.get(name, MIN_LEAD) * likelihood for name, likelihood in others)
    if best in GB_NAMES and is_ahead and character_count >= MIN_CHARACTERS:
        return Encoding("gb18030", "detected by its characters")
    names = [name for name, _ in guesses if name in COMMON_ENCODINGS and _decodes(sample, name)]
    names = list(dict.fromkeys(names)) or ["windows-1252"]
    likely = f"; it may be {' or '.join(name.upper() for name in names[:3])}"
    hint = f"name the encoding: --encoding {names[0]}"
    raise EncodingError(f"line {first_invalid:,} is not valid UTF-8{likely}", hint)


def _count_characters(sample: bytes, codec: str) -> int:
    """Return the number of distinct characters that are not ASCII; 0 if *sample* is not valid in *codec*."""
    try:
        return sum(not character.isascii() for character in set(sample.decode(codec)))
    except ValueError:
        return 0


def _decodes(sample: bytes, codec: str) -> bool:
    try:
        sample.decode(codec)
    except (LookupError, ValueError):
        return False
    return True


def decode_text(data: bytes, given: str | None = None) -> str:
    """Return the text in *data*, without a byte order mark.

    Raises:
        EncodingError: The encoding is unknown, or a line is not valid in it.
    """
    encoding = read_mark(data[:HEAD_BYTES], given) or detect_encoding(data.splitlines(keepends=True))
    try:
        return data[encoding.mark_bytes :].decode(encoding.codec)
    except UnicodeDecodeError as error:
        line = data[encoding.mark_bytes :][: error.start].decode(encoding.codec, "ignore").count("\n") + 1
        message = f"line {line:,} is not valid {encoding.codec.upper()}"
        raise EncodingError(message, "correct that line, or name another encoding with --encoding") from None

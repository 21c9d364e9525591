"""Encode rows of devices as NDJSON, CSV or an Arrow stream, piece by piece."""

from collections.abc import Iterator
from io import BytesIO

import polars as pl

from audience.index.query.exported_files import format_for_csv, format_instants
from audience.index.storage import arrow_file

STREAM_MEDIA_TYPES = ("application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream")


def encode_ndjson(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    r"""Encode each row as a JSON object in a line of its own.

    >>> b"".join(encode_ndjson(iter([pl.DataFrame({"token": ["t1", None]})])))
    b'{"token":"t1"}\n{"token":null}\n'
    """
    for frame in frames:
        buffer = BytesIO()
        format_instants(frame).write_ndjson(buffer)
        yield buffer.getvalue()


def encode_csv(frames: Iterator[pl.DataFrame], list_separator: str) -> Iterator[bytes]:
    r"""Encode rows as CSV with a header; null is an empty field, and the values of a list are in one field.

    >>> b"".join(encode_csv(iter([pl.DataFrame({"token": ["t1", "a,b"]}), pl.DataFrame({"token": ["t3"]})]), ";"))
    b'token\nt1\n"a,b"\nt3\n'

    Raises:
        TableError: A value of a list has the separator.
    """
    buffer = BytesIO()
    for number, frame in enumerate(frames):
        format_for_csv(frame, list_separator).write_csv(buffer, include_header=number == 0)
        if len(frame):  # the header is sent with the first rows, so that an error in them is answered as one
            yield buffer.getvalue()
            buffer = BytesIO()
    yield buffer.getvalue()


def encode_arrow(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    """Encode rows as a stream of Arrow record batches in the IPC format."""
    tables = (frame.to_arrow(compat_level=pl.CompatLevel.oldest()) for frame in frames)
    yield from arrow_file.iter_ipc_stream(tables)


def encode_frames(media_type: str, frames: Iterator[pl.DataFrame], list_separator: str) -> Iterator[bytes]:
    """Encode rows in the format of a media type; the separator is for lists in CSV."""
    match media_type:
        case "text/csv":
            return encode_csv(frames, list_separator)
        case "application/vnd.apache.arrow.stream":
            return encode_arrow(frames)
    return encode_ndjson(frames)

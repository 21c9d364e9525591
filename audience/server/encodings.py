"""Encode rows of devices as NDJSON, CSV or an Arrow stream, piece by piece."""

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import TypeAlias

import polars as pl

from audience.errors import PlanError, Problem
from audience.index.storage import arrow_file
from audience.index.storage.list_columns import is_list

NDJSON_MEDIA_TYPE = "application/x-ndjson"
CSV_MEDIA_TYPE = "text/csv"
ARROW_MEDIA_TYPE = "application/vnd.apache.arrow.stream"

Encoder: TypeAlias = Callable[[Iterator[pl.DataFrame]], Iterator[bytes]]


def encode_ndjson(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    r"""Encode each row as a JSON object in a line of its own.

    >>> b"".join(encode_ndjson(iter([pl.DataFrame({"token": ["t1", None]})])))
    b'{"token":"t1"}\n{"token":null}\n'
    """
    for frame in frames:
        buffer = BytesIO()
        frame.write_ndjson(buffer)
        yield buffer.getvalue()


def encode_csv(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    r"""Encode rows as CSV with a header; null is an empty field.

    >>> b"".join(encode_csv(iter([pl.DataFrame({"token": ["t1", "a,b"]}), pl.DataFrame({"token": ["t3"]})])))
    b'token\nt1\n"a,b"\nt3\n'

    Raises:
        PlanError: A column has lists, which CSV does not.
    """
    for number, frame in enumerate(frames):
        for column in frame.get_columns():
            if is_list(column):
                message = f"devices may have several values of {column.name!r}, which CSV does not hold"
                hint = f"ask for other columns, or send Accept: {NDJSON_MEDIA_TYPE}"
                raise PlanError(Problem("no-lists", message, hint=hint))
        buffer = BytesIO()
        frame.write_csv(buffer, include_header=number == 0)
        yield buffer.getvalue()


def encode_arrow(frames: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    """Encode rows as a stream of Arrow record batches in the IPC format."""
    tables = (frame.to_arrow(compat_level=pl.CompatLevel.oldest()) for frame in frames)
    yield from arrow_file.iter_ipc_stream(tables)


ENCODERS: Mapping[str, Encoder] = {
    NDJSON_MEDIA_TYPE: encode_ndjson,
    CSV_MEDIA_TYPE: encode_csv,
    ARROW_MEDIA_TYPE: encode_arrow,
}

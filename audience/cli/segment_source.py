"""Read what `segment save` saves: an expression, or a list of ids from a text file or a column of a table."""

from collections.abc import Sequence
from pathlib import Path

from audience._fs.checksums import hash128
from audience.cli.id_arguments import collect_ids
from audience.errors import Problem, TableError
from audience.index.ingest.locations.source_files import FORMAT_BY_SUFFIX
from audience.index.schema.columns import Column
from audience.language.ast import Expr, IdFile, Ids
from audience.language.parser import parse


def read_segment(expr: str | None, file: str | None, column: str | None, columns: Sequence[Column]) -> Expr:
    """Return the expression to save: *expr*, or the ids of *file*.

    Args:
        expr: Text of an expression.
        file: Text file with one id a line, or a table.
        column: Id column that the ids are of.
        columns: Columns of the index.

    Raises:
        TableError: There is an expression and a file, or neither, or the file cannot be read.
    """
    if (expr is None) == (file is None):
        message = "expected an expression or --ids FILE" + ("" if expr is None else ", not both")
        raise TableError(
            Problem("bad-option", message, hint="for example: audience segment save INDEX staff --ids FILE")
        )
    if file is None:
        if column is not None:
            raise TableError(
                Problem("bad-option", "--column needs --ids FILE", hint="name the column in the expression")
            )
        return parse(expr or "")
    ids = tuple(read_id_list(file, column, columns))
    if not ids:
        raise TableError(Problem("no-ids", f"{file} contains no ids", hint="write one id a line"))
    id_file = IdFile(file, hash128(Path(file).read_bytes()), ids, is_list=True)
    return Ids(column or "registration_id", ids, (id_file,))


def read_id_list(file: str, column: str | None, columns: Sequence[Column]) -> list[str]:
    """Return the ids of a text file, or of a column of a table, each once.

    Args:
        file: Text file with one id a line, or a table.
        column: Id column that the ids are of, by which a table has them.
        columns: Columns of the index.

    Raises:
        TableError: The file cannot be read.
    """
    is_table = file.lower().endswith(tuple(FORMAT_BY_SUFFIX))
    return collect_ids([], [file], column if is_table else None, columns).to_list()

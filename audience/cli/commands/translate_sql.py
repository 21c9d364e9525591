"""Part of `audience translate` that writes SQL."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Option
from audience.cli.options import parse_pair
from audience.cli.output.writer import Output
from audience.cli.plan_options import PlanOptions
from audience.errors import PlanError, Problem
from audience.json_forms.questions import question_json
from audience.json_forms.sql import sql_json
from audience.language.ast import Expr
from audience.language.printer import quote_name

SQL = "sql"  # value of --to


@dataclass(frozen=True, slots=True)
class SqlOptions:
    """Options of a translation to SQL."""

    index: Annotated[
        Path | None, Option("--index", metavar="INDEX", help="With `--to sql`: index that was built from the table.")
    ] = None
    dialect: Annotated[
        str | None,
        Option(
            "--dialect", metavar="NAME", help="With `--to sql`: duckdb, postgres or clickhouse.", show_default="duckdb"
        ),
    ] = None
    column_type: Annotated[
        list[str] | None,
        Option("--column-type", metavar="COLUMN=TYPE", help="With `--to sql`: type in the database. Repeatable."),
    ] = None

    def require_absent(self) -> None:
        """Require that no option is given, as the translation is not to SQL."""
        given = {"--index": self.index, "--dialect": self.dialect, "--column-type": self.column_type}
        names = [name for name, value in given.items() if value is not None]
        if names:
            raise PlanError(Problem("bad-option", f"{names[0]} is for SQL only", hint="add --to sql"))


def print_sql(expr: Expr, sql: SqlOptions, options: PlanOptions, output: Output) -> None:
    """Print *expr* as a WHERE clause, and the types of columns that it takes for granted."""
    if sql.index is None:
        hint = "name the index that was built from it: --index INDEX"
        raise PlanError(Problem("bad-option", "SQL needs to know the columns of the table", hint=hint))
    # Imported late: other translations need no index, and start in a third of the time.
    from audience.index.query.index_sql import translate_to_sql
    from audience.index.query.questions import bind_segments
    from audience.index.storage.published import open_storage
    from audience.index.storage.snapshot import open_snapshot

    snapshot = open_snapshot(open_storage(sql.index), threads=options.threads)
    asked = options.read(snapshot.timezone)
    types = dict(parse_pair(pair, None, "--column-type price=double") for pair in sql.column_type or [])
    clause = translate_to_sql(expr, snapshot, sql.dialect or "duckdb", types, asked)
    named = ", ".join(f"{quote_name(name)} is {type_}" for name, type_ in clause.columns.items())
    if named:
        output.print_assumptions([Problem("column-types", f"in the database {named}")])
    question = question_json(expr, bind_segments(expr, snapshot, asked), asked)
    output.print_result(sql_json(clause, question), clause.sql)

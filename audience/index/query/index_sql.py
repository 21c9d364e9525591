"""Write an expression as SQL: the method of an index."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from audience.argument_types import check_methods
from audience.errors import PlanError, Problem
from audience.index.query.questions import read_question
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Expr
from audience.language.parser import to_expr

if TYPE_CHECKING:
    from audience.index.query.sql.where_clause import WhereClause

SQL_EXTRA_HINT = "pip install 'audience[sql]'"


@check_methods()
class IndexSql:
    """Method of an index that writes an expression as SQL."""

    snapshot: Snapshot

    def to_sql(
        self,
        expr: Expr | str,
        dialect: str = "duckdb",
        *,
        column_types: Mapping[str, str] | None = None,
        as_of: datetime | str | None = None,
        timezone: str | None = None,
    ) -> "WhereClause":
        """Return *expr* as a WHERE clause that finds the same devices in the table that the index was built from.

        Put the clause after WHERE, or between brackets beside other conditions. To negate it, negate the expression:
        the clause is NULL where a value is missing. It needs the extra `sql`.

        Args:
            expr: Expression.
            dialect: `duckdb`, `postgres` or `clickhouse`.
            column_types: Types of columns in the database, by their names in the table: `text`, `list`, `boolean`,
                `number`, `double`, `real`, `date`, `timestamp` or `timestamptz`. Columns whose type is given are
                compared as they are, so that the database can use its indexes.
            as_of: Moment of the question, as for `count`.
            timezone: Time zone of the question, as for `count`.

        Raises:
            ExpressionError: *expr* is invalid, refers to something that the index does not have, or has a part that SQL
                cannot say exactly; each part is named.
            PlanError: The extra is not installed, or there is no such dialect.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "city": ["Rome", None], "age": [31, 17]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> print(index.to_sql("age >= 18 AND NOT city:Rome", column_types={"city": "text"}))
        "age" >= 18 AND NOT COALESCE("city" = 'Rome', FALSE)
        """
        snapshot = self.snapshot
        return translate_to_sql(
            to_expr(expr), snapshot, dialect, column_types or {}, read_question(as_of, timezone, False, snapshot)
        )


def translate_to_sql(
    expr: Expr, snapshot: Snapshot, dialect: str, column_types: Mapping[str, str], as_of: AsOf | None
) -> "WhereClause":
    """Return *expr* as a WHERE clause, as `to_sql`. Raises as `to_sql`."""
    try:
        from audience.index.query.sql.nodes import SQL_DIALECTS
        from audience.index.query.sql.where_clause import write_where
    except ModuleNotFoundError as error:
        problem = Problem("no-extra", f"SQL needs the package {error.name}", hint=SQL_EXTRA_HINT)
        raise PlanError(problem) from None
    for known in SQL_DIALECTS:
        if known == dialect:
            return write_where(expr, snapshot, known, column_types, as_of)
    hint = f"use {' or '.join(SQL_DIALECTS)}"
    raise PlanError(Problem("bad-option", f"unknown dialect of SQL {dialect!r:.40}", hint=hint))

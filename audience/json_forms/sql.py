"""JSON form of an expression that was written as SQL."""

from typing import TYPE_CHECKING

from audience.json_forms.questions import QuestionForm

if TYPE_CHECKING:
    from audience.index.query.sql.where_clause import WhereClause


class SqlForm(QuestionForm):
    """Expression as SQL.

    Attributes:
        sql: Condition, to put after WHERE.
        dialect: Database.
        columns: Type in the database that each of the columns may have, by its name.
    """

    sql: str
    dialect: str
    columns: dict[str, str]


def sql_json(clause: "WhereClause", question: QuestionForm) -> SqlForm:
    """Return the JSON form of *clause*, which answers *question*."""
    return {"sql": clause.sql, "dialect": clause.dialect, "columns": dict(clause.columns), **question}

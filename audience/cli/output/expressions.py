"""Text of expressions for people, and when and where an expression was asked."""

from audience.cli.output.writer import Output
from audience.errors import Problem
from audience.language.as_of import AsOf
from audience.language.ast import Atom, Expr, Ids, map_operands
from audience.language.id_files import describe_id_file, list_id_files
from audience.language.printer import render

MAX_LISTED_IDS, FIRST_LISTED_IDS = 20, 8  # a longer list is shown by its first ids and the number of the others


def render_shortened(expr: Expr) -> str:
    """Return the text of *expr* with long lists of ids cut short.

    >>> render_shortened(Ids("account", tuple(f"a{number}" for number in range(1_000))))
    'account(a0, a1, a2, a3, a4, a5, a6, a7, "… 992 more")'
    """
    return render(map_operands(expr, _shorten_ids))


def format_saved(expr: Expr) -> str:
    """Return the text of a saved expression, and what the files of ids that it names hold."""
    files = "; ".join(describe_id_file(file) for file in list_id_files(expr))
    return f"{render(expr)}  ({files})" if files else render(expr)


def _shorten_ids(atom: Atom) -> Expr:
    match atom:
        case Ids(kind=kind, files=files) if len(values := atom.written_values()) > MAX_LISTED_IDS:
            in_files = (identifier for file in files for identifier in file.ids)
            more = f"… {len(values) - FIRST_LISTED_IDS:,} more"
            return Ids(kind, (*values[:FIRST_LISTED_IDS], more, *in_files), files)
    return atom


def format_question(expr: Expr, bound: Expr, asked: AsOf) -> str:
    """Return when and where an expression was asked, how it was written, and what it was then."""
    return f"as of      {asked}\nexpression {render_shortened(expr)}\nbound      {render_shortened(bound)}"


def print_question(bound: Expr, asked: AsOf, output: Output) -> None:
    """Print when and where an expression was asked, and what it was then; JSON has it in its result."""
    if not output.as_json:
        output.print_notes([Problem("as-of", f"as of {asked}: {render_shortened(bound)}")])

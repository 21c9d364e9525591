"""Tables, code and links of Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, or an empty string if there are no rows."""
    lines = ["| " + " | ".join(escape_cell(cell) for cell in row) + " |" for row in rows]
    if not lines:
        return ""
    head = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*head, *lines]) + "\n\n"


def escape_cell(cell: object) -> str:
    """Return the text of a table cell on one line, with bars escaped."""
    return str(cell).replace("|", "\\|").replace("\n", " ")


def code(text: object) -> str:
    """Return *text* as inline code."""
    return f"`{text}`"


def link(source: str) -> str:
    """Return *source* with its URL, if it has one, as a link."""
    words = source.split()
    return " ".join(f"[{word.split('/')[2]}]({word})" if word.startswith("http") else word for word in words)

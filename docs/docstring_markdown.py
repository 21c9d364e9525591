"""A griffe extension that makes docstrings safe as Markdown: doctests become code blocks, brackets stay brackets."""

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^(?:>>> .*\n?)(?:.+\n?)*", re.MULTILINE)
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"(`[^`]*`)")
REFERENCE_BRACKET = re.compile(r"\[(?![^\]]*\]\()")


class DocstringMarkdown(griffe.Extension):
    """Rewrite each docstring before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(text: str) -> str:
    """Return *text* with doctests in fences, and with brackets outside of code escaped unless they are a link."""
    fenced = DOCTEST.sub(lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text)
    parts = FENCE.split(fenced)
    return "".join(part if part.startswith("```") else escape_brackets(part) for part in parts)


def escape_brackets(text: str) -> str:
    """Return *text* with brackets outside of inline code escaped."""
    parts = CODE_SPAN.split(text)
    return "".join(part if part.startswith("`") else REFERENCE_BRACKET.sub(r"\\[", part) for part in parts)

"""Options of the second check of policies, which a run keeps. Nothing here reads an index."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audience._fs.object_urls import absolute_location
from audience.language.ast import Expr
from audience.language.parser import to_expr
from audience.planning.policies import render_with_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """Options of the second check of policies.

    Attributes:
        caps: What a device must fit besides the policies of the index.
        without: Names of policies that do not apply, besides those that were overridden when the requests were emitted.
        index: Path of the index, if it is no longer where the requests were emitted from.
    """

    caps: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    index: Path | None = None

    @classmethod
    def read(
        cls, caps: Iterable[Expr | str] = (), without: Iterable[str] = (), index: str | Path | None = None
    ) -> "PolicyOptions":
        """Return the options, with caps that can be read again; raise ExpressionError if one is not an expression."""
        texts = tuple(render_with_ids(to_expr(cap)) for cap in caps)
        return cls(caps=texts, without=tuple(without), index=None if index is None else Path(absolute_location(index)))

    def merge(self, later: "PolicyOptions") -> "PolicyOptions":
        """Return these options with those of a *later* call added."""
        caps = tuple(dict.fromkeys((*self.caps, *later.caps)))
        without = tuple(dict.fromkeys((*self.without, *later.without)))
        return PolicyOptions(caps=caps, without=without, index=later.index or self.index)

    def to_json(self) -> str:
        """Return the options as JSON.

        >>> PolicyOptions.from_json(PolicyOptions(caps=("NOT opted_out",)).to_json()).caps
        ('NOT opted_out',)
        """
        index = None if self.index is None else str(self.index)
        return json.dumps({"caps": self.caps, "without": self.without, "index": index}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "PolicyOptions":
        """Return the options that `to_json` has written."""
        fields: dict[str, Any] = json.loads(text)
        index = fields.get("index")
        return cls(
            caps=tuple(fields.get("caps", ())),
            without=tuple(fields.get("without", ())),
            index=None if index is None else Path(index),
        )

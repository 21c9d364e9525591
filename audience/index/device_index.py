"""DeviceIndex: build it, open it, ask it."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from os import fspath
from pathlib import Path

from audience.errors import PlanError, Problem
from audience.index import evaluate as engine
from audience.index.build import Progress, build
from audience.index.columns import Roles
from audience.index.crowd import Crowd, id_column
from audience.index.explain import Line, funnel
from audience.index.store import Attribute, Store
from audience.index.tables import Source
from audience.language.expr import Expr, Ids, checked
from audience.language.parse import parse
from audience.vendors import vendors


class DeviceIndex:
    """Roaring bitmaps over a table of devices, kept in one folder.

    Wherever an expression is taken, its text is too.
    """

    def __init__(self, store: Store):
        self.store = store

    @classmethod
    def build(
        cls,
        source: Source,
        path: str | Path,
        *,
        tokens: str | Mapping[str, str] | None = None,
        alias: str | None = None,
        account: str | None = None,
        tags: Iterable[str] = (),
        typed: Iterable[str] = (),
        numbers: Iterable[str] = (),
        dates: Iterable[str] = (),
        versions: Iterable[str] = (),
        split: Mapping[str, str] | None = None,
        ignore: Iterable[str] = (),
        replace: bool = False,
        progress: Progress = lambda step, done, total: None,
    ) -> "DeviceIndex":
        """Build the index of *source* in the new folder *path*, and open it.

        *source* is a Parquet, CSV, NDJSON or Arrow IPC file, a folder or a glob of them, or a Polars frame. Columns
        find their role by name and type; the arguments set it. *tokens* maps a vendor to its column of ids; *split*
        maps a text column of tags to what stands between them.

        Raises TableError with the column and the first offending rows; nothing is left at *path* then.

        >>> import polars, tempfile
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]], "age": [31, None]})
        >>> index = DeviceIndex.build(table, tempfile.mkdtemp() + "/devices.index")
        >>> index.count("male AND NOT vip"), index.count("age < 40"), index.count("NOT age < 40")
        (1, 1, 1)
        """
        roles = Roles(
            tokens={"registration_id": tokens} if isinstance(tokens, str) else dict(tokens or {}),
            alias=alias,
            account=account,
            tags=tuple(tags),
            typed=tuple(typed),
            numbers=tuple(numbers),
            dates=tuple(dates),
            versions=tuple(versions),
            split=dict(split or {}),
            ignore=tuple(ignore),
        )
        build(source, Path(path), roles, vendors(), replace=replace, progress=progress)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> "DeviceIndex":
        """Open the index at *path*; bitmaps are read when an expression touches them.

        Raises IndexFolderError where there is none, DamagedError where a file is not what was written.
        """
        return cls(Store(Path(path)))

    def __len__(self) -> int:
        return self.store.devices

    def __repr__(self) -> str:
        return f"<DeviceIndex {fspath(self.store.folder)!r}: {len(self):,} devices>"

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """What can be asked, by name; bare tags are the attribute `tag`."""
        return self.store.attributes

    def count(self, expr: Expr | str) -> int:
        """How many devices *expr* means; ExpressionError for what the index does not know."""
        return engine.count(_expr(expr), self.store)

    def resolve(self, expr: Expr | str) -> Crowd:
        """The devices that *expr* means; ExpressionError for what the index does not know."""
        return Crowd(engine.resolve(_expr(expr), self.store), self.store)

    def expanded(self, expr: Expr) -> Expr:
        """*expr* as it stands: nothing is saved in an index yet."""
        return expr

    def holds_others(self, ids: Ids, vendor: str) -> bool:
        """Whether any of *ids* stands in a column of ids that is not the one of *vendor*."""
        try:
            own = id_column(self.store.ids, vendor)
        except PlanError:  # it is not known which ids are the vendor's
            own = ""
        others = [name for name in self.store.ids if name.startswith("id:") and name != own]
        return any(self.store.id_table[name].is_in(list(ids.values)).any() for name in others)

    def explain(self, expr: Expr | str) -> list[Line]:
        """The tree of *expr* with a count at every node, and in an AND what is left after each operand."""
        return funnel(_expr(expr), self.store)

    def problems(self, expr: Expr | str) -> list[Problem]:
        """What *expr* names that no device has: not an error, but often a slip of the pen."""
        return engine.unmet(_expr(expr), self.store)

    def check(self) -> list[str]:
        """Read every file whole; the names of the files, or DamagedError for the first that is not sound."""
        return list(self.store.check())


def _expr(expr: Expr | str) -> Expr:
    if not isinstance(expr, str):
        return checked(expr)
    return parse(expr) if "@" in expr else _parsed(expr)  # what a text says of a file may change


_parsed = lru_cache(maxsize=1_024)(parse)

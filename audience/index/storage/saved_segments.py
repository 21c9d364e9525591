"""Saved segments of a snapshot, each parsed when it is first asked for."""

from collections.abc import Iterator, Mapping

from audience.index.storage.id_lists import read_id_list
from audience.index.storage.manifest import Manifest
from audience.index.storage.published import Storage
from audience.language.ast import Expr
from audience.language.parser import parse_saved


class SavedSegments(Mapping[str, Expr]):
    """Expressions by the name of their segment; the files of ids that they name are those that the index keeps."""

    def __init__(self, storage: Storage, manifest: Manifest):
        self._storage = storage
        self._manifest = manifest
        self._exprs: dict[str, Expr] = {}

    def __getitem__(self, name: str) -> Expr:
        if name not in self._exprs:
            files = [read_id_list(self._storage, file) for file in self._manifest.segment_files.get(name, ())]
            self._exprs[name] = parse_saved(self._manifest.segments[name], files)
        return self._exprs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._manifest.segments)

    def __len__(self) -> int:
        return len(self._manifest.segments)

    def __contains__(self, name: object) -> bool:
        return name in self._manifest.segments

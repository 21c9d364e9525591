"""Packing of changes of tags into calls: few of them, and a proof of how few there can be."""

from audience.tag_sync.packing.calls import PackedCall, PackedGrid, PackedPairs, Packing, collect_rows
from audience.tag_sync.packing.pack import pack_changes

__all__ = ["PackedCall", "PackedGrid", "PackedPairs", "Packing", "collect_rows", "pack_changes"]

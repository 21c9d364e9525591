"""Exchange an index with other programs as bitmaps: the method of an index that writes them."""

from collections.abc import Iterable
from pathlib import Path

from audience.argument_types import check_methods
from audience.index.changes.interchange.bitmap_export import export_bitmaps
from audience.index.storage.snapshot import Snapshot
from audience.progress import Progress, ignore_progress


@check_methods()
class IndexBitmaps:
    """Method of an index that writes its bitmaps for other programs."""

    snapshot: Snapshot

    def export_bitmaps(
        self,
        folder: str | Path,
        *,
        format: str = "parquet",
        without: Iterable[str] = (),
        progress: Progress = ignore_progress,
    ) -> None:
        """Write the attributes as portable roaring bitmaps, and the devices with their positions in them.

        `DeviceIndex.import_bitmaps` builds an index from such a folder, which gives the same answers.

        Args:
            folder: New folder. Only the owner may read it.
            format: `parquet`, or `clickhouse` for a file of states of `AggregateFunction(groupBitmap, UInt32)`.
            without: Parts that are left out: `events`, `segments` or `policies`, which bitmaps do not carry.
            progress: Progress callback.

        Raises:
            PlanError: The index has one of these parts, and it is not named.
            OutputError: *folder* exists or cannot be written.

        >>> import polars, tempfile
        >>> from audience import DeviceIndex
        >>> table = polars.DataFrame({"token": ["t1", "t2"], "tags": [["male", "vip"], ["male"]]})
        >>> folder = tempfile.mkdtemp()
        >>> DeviceIndex.build(table, folder + "/devices.index").export_bitmaps(folder + "/bitmaps")
        >>> polars.read_parquet(folder + "/bitmaps/bitmaps.parquet").select("attribute", "value", "devices").rows()
        [('tag', 'male', 2), ('tag', 'vip', 1)]
        >>> DeviceIndex.import_bitmaps(folder + "/bitmaps", folder + "/copy.index").count("male AND NOT vip")
        1
        """
        export_bitmaps(self.snapshot, Path(folder), format, list(without), progress)

"""Files of an index: shards, bitmaps, id columns, snapshots."""

"""Updates of an index, compaction and maintenance."""

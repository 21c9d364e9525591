"""Build of shards from device tables."""

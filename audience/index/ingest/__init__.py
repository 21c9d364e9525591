"""Device tables → shards."""

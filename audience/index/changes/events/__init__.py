"""Changes of the events of an index."""

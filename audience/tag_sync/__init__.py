"""Sync of tags: those of a snapshot, those that a vendor has, the difference, and the calls for it."""

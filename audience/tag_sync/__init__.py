"""Sync of tags: the tags of a snapshot, the tags that a vendor has, their difference, and the calls that remove it."""

"""Sync of tags: the calls that make the tags at a vendor those of a snapshot, and a ledger of them."""

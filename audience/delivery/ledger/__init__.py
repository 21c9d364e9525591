"""SQLite ledger of a run: its batches, its workers, and the result of every call."""

"""The SQLite ledger of a run: what was sent, and what came of it."""

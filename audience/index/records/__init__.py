"""Records: what an index keeps by id, outside its snapshots."""

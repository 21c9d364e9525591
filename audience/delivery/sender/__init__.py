"""Workers that send the batches of a run."""

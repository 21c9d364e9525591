"""Request folders: the requests of a plan, written and read."""

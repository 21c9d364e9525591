"""Expression → the set of devices that match it."""

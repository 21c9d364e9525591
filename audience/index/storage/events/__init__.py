"""Events of devices on disk: files of events, their segments, and the log of a snapshot."""

"""Tables of events: their columns, their devices, and their encoding in segments."""

"""What the two EMAS vendors share."""

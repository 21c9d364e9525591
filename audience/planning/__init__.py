"""Plan the requests of an expression for a vendor."""

"""What commands do: one module for each kind; `audience.cli` has the list of them."""

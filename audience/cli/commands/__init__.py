"""What commands do: one module for each kind; `audience.cli.registry` has the list of them."""

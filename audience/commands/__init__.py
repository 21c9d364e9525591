"""What commands do: one module for each kind; `audience.terminal.menu` has the list of them."""

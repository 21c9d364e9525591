"""What commands do: one module for each kind; `audience.menu` has the list of them."""

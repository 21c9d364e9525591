"""Commands, one module for each group of related ones; `audience.cli.registry` lists them."""

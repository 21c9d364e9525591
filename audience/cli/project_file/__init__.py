"""Values of options that a project uses again and again: its file `audience.toml`."""

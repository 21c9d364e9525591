"""Command-line interface: command registry, options, streams and output."""

"""JSON forms: what values look like as JSON, for the command line's `--json` and the HTTP service alike."""

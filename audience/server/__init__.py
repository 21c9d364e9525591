"""HTTP service and console. Needs the extra `serve`."""

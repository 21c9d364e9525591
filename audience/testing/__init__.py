"""Generated devices for tests and benchmarks."""

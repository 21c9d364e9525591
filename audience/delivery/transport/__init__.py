"""HTTP transport: credentials, rate limits, retries, and secrets that are removed from replies."""

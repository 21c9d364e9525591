"""HTTP to vendors: connections, credentials, rate limits and retries."""

"""Plan → a folder of requests, and back."""

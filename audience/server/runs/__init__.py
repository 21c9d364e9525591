"""Runs of the service: folders of requests, what is sent from them, and the processes that send."""

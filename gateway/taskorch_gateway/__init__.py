"""The gateway: the queue over HTTP, for agents that cannot or may not reach Redis."""

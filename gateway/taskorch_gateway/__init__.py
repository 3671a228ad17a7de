"""The gateway: the queue over HTTP, for agents that cannot reach Redis or may not."""

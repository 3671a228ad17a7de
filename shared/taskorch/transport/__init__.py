"""The connection to Redis: addresses, sockets, failover and retries."""

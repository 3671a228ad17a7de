"""What the queue is about: items, leases, events, errors and limits."""

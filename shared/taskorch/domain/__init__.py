"""The domain: items, leases, events, errors and limits."""

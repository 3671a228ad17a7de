"""One program per queue: how it enqueues and works, with its packages in its head (PEP 723)."""

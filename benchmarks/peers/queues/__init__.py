"""One program per queue: how it enqueues and how it works; what it needs stands in its head, as PEP 723 has it."""

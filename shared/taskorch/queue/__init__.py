"""The queue: its keys, its scripts and the methods that run them."""

"""The queue for Python programs: `taskorch` has the public names."""

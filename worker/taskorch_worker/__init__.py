"""The `worker` command: what a specialist agent does with the items assigned to it."""

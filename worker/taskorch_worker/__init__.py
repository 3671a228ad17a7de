"""The `worker` command, for specialist agents."""

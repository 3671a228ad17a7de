"""The subcommands of `worker`."""

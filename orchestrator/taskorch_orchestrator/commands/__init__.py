"""The subcommands of `orchestrate`."""

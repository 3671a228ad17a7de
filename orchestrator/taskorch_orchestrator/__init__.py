"""The `orchestrate` command: what an orchestrating agent does with projects and items."""

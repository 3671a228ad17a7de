"""Plan files: a project and its items as YAML or JSON."""

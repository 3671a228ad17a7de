"""Text of `orchestrate init` and `trust`."""

from collections.abc import Sequence

from taskorch.cli.text import line

from taskorch_orchestrator.root_setup import (
    ConfigText,
    Initialised,
    Trust,
    TrustedFile,
)


def initialised(made: Initialised) -> str:
    """Render a new or existing root."""
    now = "is a root now" if made.created else "is already a root"
    text = f"{line(made.root)} {now}."
    if made.config_file:
        text += f"\nSettings: {line(made.config_file)}"
    return text


def settings(config: ConfigText) -> str:
    """Render the settings in a config file."""
    if not config.settings:
        return f"{line(config.file)} has no settings."
    rows = [
        f"  {key} = {line(value)}" for key, value in config.settings.items()
    ]
    return "\n".join([f"{line(config.file)} sets:", *rows])


def trusted(result: Trust) -> str:
    """Render that a config file is trusted."""
    return f"Trusted until it changes: {line(result.file)}"


def forgotten(result: Trust) -> str:
    """Render that a config file is no longer trusted."""
    return f"Not trusted: {line(result.file)}"


def trusted_files(found: Sequence[TrustedFile]) -> str:
    """Render the files that were trusted, one per line."""
    return "\n".join(f"{each.status:8} {line(each.file)}" for each in found)

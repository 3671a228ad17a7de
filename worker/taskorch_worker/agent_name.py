"""The name of the agent that `worker` acts as."""

from taskorch.config.settings import Settings
from taskorch.domain import errors, limits


def agent_of(settings: Settings) -> str:
    """Return the agent's name. Raises errors.Usage if the settings have none."""
    if not settings.agent:
        raise errors.Usage(
            reason="No agent name is set. Set AGENT_ID, or give --agent-id NAME."
        )
    return limits.agent_name(settings.agent, "AGENT_ID")

"""Task Orchestrator: a Redis-backed distributed task queue whose workers are AI agents."""

__version__ = "0.1.0"

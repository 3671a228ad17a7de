"""Task Orchestrator: a Redis-backed distributed task queue whose workers are AI agents."""

"""The file mirror: items and reports in `.task-orchestrator/handoffs/`."""

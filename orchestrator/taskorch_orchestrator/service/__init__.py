"""The service: sync and scheduled jobs in one long-running process."""

"""Schedules: plans that the service applies at the times of a cron line."""

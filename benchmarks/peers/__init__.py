"""The same work done by other task queues on Redis, each in its own virtual environment."""

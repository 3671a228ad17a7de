"""`orchestrate doctor`: checks of the environment and audits of the queue."""

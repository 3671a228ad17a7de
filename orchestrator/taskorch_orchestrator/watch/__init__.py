"""`orchestrate watch`: the dashboard and the stream of events."""

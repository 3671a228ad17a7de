"""Traces of the work, by OpenTelemetry; off unless its variables ask for them."""

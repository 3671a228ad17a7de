"""What `worker` prints."""

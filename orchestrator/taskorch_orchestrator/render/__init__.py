"""What `orchestrate` prints."""

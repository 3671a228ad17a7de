"""Measurements that README.md and docs/ state, each a ratio within one run."""

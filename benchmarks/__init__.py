"""Measurements that the README and docs/ state; each is a ratio within one run, for machines differ and are noisy."""

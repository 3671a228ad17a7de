"""Chaos: many processes use the queue while faults hit them and their Redis; in the end their ledgers are judged."""

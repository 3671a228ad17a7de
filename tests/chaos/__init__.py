"""Chaos runs: processes use the queue during faults, then their ledgers are checked."""

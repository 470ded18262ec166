"""Runs: configuration, records, and what can go wrong with them."""

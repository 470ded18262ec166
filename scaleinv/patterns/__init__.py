"""Activation patterns: counted, compared, and cut out of a plane (P in docs/sources.md)."""

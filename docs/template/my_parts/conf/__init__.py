"""Configurations, found beside those of scaleinv."""

"""Figures, each a function of records alone. No torch."""

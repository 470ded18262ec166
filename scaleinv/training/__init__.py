"""Stacked training: a cell of members as one tensor program. Knows no files, no Hydra, no pandas."""

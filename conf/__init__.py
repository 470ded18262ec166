"""Hydra configurations; in the wheel, ``scaleinv.conf``."""

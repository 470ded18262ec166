"""Probes: further measurements during training."""

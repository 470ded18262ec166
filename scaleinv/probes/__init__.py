"""Probes: what else is measured during training."""

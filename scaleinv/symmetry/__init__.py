"""The rescaling symmetry: channel classes and edges, skeletons, the group and its gauges."""

"""Networks; a configuration names one by its module."""

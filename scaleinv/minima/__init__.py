"""Several networks of one architecture: how far apart they are, what lies between them, and what they do together."""

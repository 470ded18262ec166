"""A space, an optimizer, a network and a probe for scaleinv."""

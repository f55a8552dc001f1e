"""A network as data, and the walkers that need nothing but it."""

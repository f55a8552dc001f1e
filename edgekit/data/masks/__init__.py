"""Photos whose label is a mask: a class for every pixel."""

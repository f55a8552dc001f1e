"""A folder on the import path of Sony's converter."""

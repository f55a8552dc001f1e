"""Training a Graph: recipes, the loop, its checkpoints, and what is told about it."""

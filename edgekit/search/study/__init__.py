"""The search for a network: a space, what is wanted of it, and trials that machines share."""

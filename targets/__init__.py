"""Where a model runs: what it takes, how it is compiled, and how the result is run."""

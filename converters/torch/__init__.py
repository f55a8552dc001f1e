"""A Graph as a plain torch module: no loop, no table, one line of code for each operator."""

"""Photos with boxes: what they are read from, and where a detector looks for them."""

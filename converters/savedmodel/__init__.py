"""The SavedModel writer: a float network as TensorFlow loads, serves and trains it."""

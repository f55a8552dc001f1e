"""TFLite: the writer, the reader of finished files, and their checks."""

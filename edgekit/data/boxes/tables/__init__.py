"""Tables of boxes: CSV files with a box a row."""

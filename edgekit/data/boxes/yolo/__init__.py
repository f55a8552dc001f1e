"""YOLO: a text file for each photo, and a table that names the classes."""

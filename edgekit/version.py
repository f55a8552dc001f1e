"""The version of edgekit."""

__version__ = "0.1.0"

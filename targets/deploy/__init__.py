"""Puts a finished model where it is used."""

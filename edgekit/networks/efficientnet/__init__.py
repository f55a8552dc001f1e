"""The family: every variant as a row, and how a row becomes a Graph."""

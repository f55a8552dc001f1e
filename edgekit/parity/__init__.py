"""Compares the executions of one network, operator by operator."""

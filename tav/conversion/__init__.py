"""Checkpoints of others: the official code's, and those of one file."""

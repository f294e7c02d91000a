"""Checkpoints of other programs: those of the official code, and whole models in one file."""

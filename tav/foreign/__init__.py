"""Checkpoints of the official Tune-A-Video code and its forks, in and out. What they are called is all in `layouts`."""

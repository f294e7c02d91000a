"""Clips drawn in terminal cells: their frames, the clock that all players share, and its keys."""

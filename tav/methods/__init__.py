"""The engine's loops: tuning, inversion, sampling. Generators that yield events."""

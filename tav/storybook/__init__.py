"""The embedded base: a drawn world that knows its own truth, and the small Stable Diffusion trained on it."""
